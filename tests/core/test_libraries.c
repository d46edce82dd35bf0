/*
 * Tests of the libraries' versions and features. With the argument "models" the linked libopus must have deep PLC and
 * OSCE.
 */
#include "check.h"
#include "core.h"

#include <string.h>

static bw_libraries libraries;

static void libraries_tell_their_versions(void) {
    CHECK(strncmp(libraries.opus, "libopus ", 8) == 0);
    CHECK(strncmp(libraries.openssl, "OpenSSL ", 8) == 0);
}

static void libopus_before_1_5_has_no_models(void) {
    int minor = 0;
    CHECK(sscanf(libraries.opus, "libopus 1.%d", &minor) == 1);
    if (minor < 5) {
        CHECK_EQ(libraries.deep_plc, 0);
        CHECK_EQ(libraries.osce, 0);
    }
}

static void features_are_the_same_each_time(void) {
    bw_libraries again;
    bw_get_libraries(&again);
    CHECK_EQ(again.deep_plc, libraries.deep_plc);
    CHECK_EQ(again.osce, libraries.osce);
}

int main(int argc, char **argv) {
    bw_get_libraries(&libraries);
    printf("%s, %s, deep PLC %u, OSCE %u\n", libraries.opus, libraries.openssl, libraries.deep_plc, libraries.osce);
    RUN(libraries_tell_their_versions);
    RUN(libopus_before_1_5_has_no_models);
    RUN(features_are_the_same_each_time);
    if (argc > 1 && strcmp(argv[1], "models") == 0) {
        CHECK_EQ(libraries.deep_plc, 1);
        CHECK_EQ(libraries.osce, 1);
    }
    return 0;
}
