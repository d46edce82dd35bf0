/* The complex functions of C99, which Wine's ucrtbase.dll exports but does not implement, and numpy calls.
 *
 * Microsoft's complex numbers are structs, and its long double is a double.
 */
#include <complex.h>

typedef struct {
    double real, imaginary;
} ms_double;

typedef struct {
    float real, imaginary;
} ms_float;

static double complex from_double(ms_double value) {
    union {
        ms_double ms;
        double complex c99;
    } either = {.ms = value};
    return either.c99;
}

static ms_double to_double(double complex value) {
    union {
        double complex c99;
        ms_double ms;
    } either = {.c99 = value};
    return either.ms;
}

static float complex from_float(ms_float value) {
    union {
        ms_float ms;
        float complex c99;
    } either = {.ms = value};
    return either.c99;
}

static ms_float to_float(float complex value) {
    union {
        float complex c99;
        ms_float ms;
    } either = {.c99 = value};
    return either.ms;
}

#define COMPLEX(name)                                                                                                  \
    ms_double shim_##name(ms_double a) { return to_double(name(from_double(a))); }                                     \
    ms_double shim_##name##l(ms_double a) { return shim_##name(a); }                                                   \
    ms_float shim_##name##f(ms_float a) { return to_float(name##f(from_float(a))); }
#define REAL(name)                                                                                                     \
    double shim_##name(ms_double a) { return name(from_double(a)); }                                                   \
    double shim_##name##l(ms_double a) { return shim_##name(a); }                                                      \
    float shim_##name##f(ms_float a) { return name##f(from_float(a)); }
#define COMPLEX_OF_TWO(name)                                                                                           \
    ms_double shim_##name(ms_double a, ms_double b) { return to_double(name(from_double(a), from_double(b))); }        \
    ms_double shim_##name##l(ms_double a, ms_double b) { return shim_##name(a, b); }                                   \
    ms_float shim_##name##f(ms_float a, ms_float b) { return to_float(name##f(from_float(a), from_float(b))); }

REAL(cabs)
REAL(carg)
REAL(cimag)
REAL(creal)
COMPLEX(cacos)
COMPLEX(cacosh)
COMPLEX(casin)
COMPLEX(casinh)
COMPLEX(catan)
COMPLEX(catanh)
COMPLEX(ccos)
COMPLEX(ccosh)
COMPLEX(cexp)
COMPLEX(clog)
COMPLEX(conj)
COMPLEX(cproj)
COMPLEX(csin)
COMPLEX(csinh)
COMPLEX(csqrt)
COMPLEX(ctan)
COMPLEX(ctanh)
COMPLEX_OF_TWO(cpow)
