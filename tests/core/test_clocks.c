/* Two clocks with different rates for half an hour: no underrun, no growing delay, no click. */
#include "virtual_network.h"

#ifdef BW_FULL_LENGTH
#define MINUTES 30
#define MINUTES_OF_JITTER 10
#else
#define MINUTES 2
#define MINUTES_OF_JITTER 2
#endif
#define SETTLED_S 60 /* from then on the delay stays at its target */

static void check_drift(double ppm, double jitter_ms, int minutes) {
    const outcome *o = simulate(
        (scenario){.seed = 11, .seconds = 60.0 * minutes, .start_ms = 30, .sender_ppm = ppm, .jitter_ms = jitter_ms});
    double furthest_ms = 0.0;
    for (uint32_t i = SETTLED_S; i < o->moment_count; i++)
        furthest_ms = fmax(furthest_ms, fabs(o->moments[i].delay_ms - o->moments[i].target_ms));
    printf("  %+.0f ppm, %.0f ms of jitter, %d min: %llu underruns, at most %.1f ms from the target, corrected by %.0f "
           "ppm\n",
           ppm, jitter_ms, minutes, (unsigned long long)o->stats.underruns, furthest_ms, o->stats.drift_ppm);
    CHECK_EQ(o->stats.underruns, 0);
    CHECK_EQ(o->stats.packets_discarded, 0);
    CHECK_EQ(o->stats.concealed_samples, 0);
    CHECK_EQ(o->clicks, 0);
    CHECK_AT_MOST(furthest_ms, 10.0);
    CHECK_NEAR(o->stats.drift_ppm, ppm, 150.0);
}

static void test_drift_of_200_ppm_is_corrected_in_both_directions(void) {
    check_drift(200.0, 0.0, MINUTES);
    check_drift(-200.0, 0.0, MINUTES);
}

static void test_drift_of_200_ppm_is_corrected_under_jitter(void) {
    check_drift(200.0, 15.0, MINUTES_OF_JITTER);
    check_drift(-200.0, 15.0, MINUTES_OF_JITTER);
}

int main(void) {
    RUN(test_drift_of_200_ppm_is_corrected_in_both_directions);
    RUN(test_drift_of_200_ppm_is_corrected_under_jitter);
    return 0;
}
