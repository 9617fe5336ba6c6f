/**
 * What every fuzz target has: one function that takes bytes from a stranger and must neither crash
 * nor contradict itself. libFuzzer calls it with its own inputs, replay.c with the seeds.
 */
#ifndef CORRAL_FUZZ_H
#define CORRAL_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/** Ends the run like a crash: the input is kept. */
#define MUST_HOLD(condition)                                                                       \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

#endif
