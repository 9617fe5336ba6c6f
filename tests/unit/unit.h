/**
 * The frame of every unit test program: one `check` suite, run and counted.
 */
#ifndef CORRAL_UNIT_H
#define CORRAL_UNIT_H

#include <check.h>
#include <stdbool.h>
#include <stdlib.h>

/** Define main() that runs `suite_fn()`, a function that returns Suite *. */
#define UNIT_MAIN(suite_fn) UNIT_MAIN_UNLESS(false, suite_fn)

/** The same, but nothing runs if `skipped` is true; it has then printed `1..0 # SKIP reason`. */
#define UNIT_MAIN_UNLESS(skipped, suite_fn)                                                        \
    int main(void)                                                                                 \
    {                                                                                              \
        if (skipped) {                                                                             \
            return EXIT_SUCCESS;                                                                   \
        }                                                                                          \
        SRunner *runner = srunner_create(suite_fn());                                              \
        srunner_run_all(runner, CK_ENV);                                                           \
        int failed = srunner_ntests_failed(runner);                                                \
        srunner_free(runner);                                                                      \
        return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;                                          \
    }

#endif
