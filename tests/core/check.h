/*
 * Assertions for the core's C tests. A test is a function without arguments; main runs each with RUN. The first failure
 * prints its location and values and ends the program.
 */
#ifndef BW_CHECK_H
#define BW_CHECK_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            printf("%s:%d: failed: %s\n", __FILE__, __LINE__, #condition);                                             \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

#define CHECK_COMPARE(a, operator, b)                                                                                  \
    do {                                                                                                               \
        double check_a = (double)(a), check_b = (double)(b);                                                           \
        if (!(check_a operator check_b)) {                                                                             \
            printf("%s:%d: failed: %s %s %s: %.9g, %.9g\n", __FILE__, __LINE__, #a, #operator, #b, check_a, check_b);  \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

#define CHECK_EQ(a, b) CHECK_COMPARE(a, ==, b)
#define CHECK_LESS(a, b) CHECK_COMPARE(a, <, b)
#define CHECK_AT_MOST(a, b) CHECK_COMPARE(a, <=, b)
#define CHECK_AT_LEAST(a, b) CHECK_COMPARE(a, >=, b)
#define CHECK_NEAR(a, b, tolerance) CHECK_AT_MOST(fabs((double)(a) - (double)(b)), tolerance)

#define RUN(test)                                                                                                      \
    do {                                                                                                               \
        printf("%s\n", #test);                                                                                         \
        fflush(stdout);                                                                                                \
        test();                                                                                                        \
    } while (0)

#endif
