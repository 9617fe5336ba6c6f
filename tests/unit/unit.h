/**
 * The frame of every unit test program: one `check` suite, run and counted.
 */
#ifndef CORRAL_UNIT_H
#define CORRAL_UNIT_H

#include <check.h>
#include <stdlib.h>

/** Define main() that runs `suite_fn()`, a function that returns Suite *. */
#define UNIT_MAIN(suite_fn)                                                                        \
    int main(void)                                                                                 \
    {                                                                                              \
        SRunner *runner = srunner_create(suite_fn());                                              \
        srunner_run_all(runner, CK_ENV);                                                           \
        int failed = srunner_ntests_failed(runner);                                                \
        srunner_free(runner);                                                                      \
        return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;                                          \
    }

#endif
