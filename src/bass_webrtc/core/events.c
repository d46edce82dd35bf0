/*
 * Notification of the loop thread by the engine's threads. The rings carry the data; the wake-up
 * descriptor only makes the loop's poll return. It is signaled once for any number of events until the loop clears it.
 */
#include "internal.h"

void bw_events_signal(bw_engine *engine) {
    if (!atomic_exchange(&engine->events_signaled, true))
        bw_wake_signal(&engine->events);
}

void bw_events_post(bw_engine *engine, bw_ring *notices, bw_notice notice) {
    bw_notice *slot = bw_ring_begin_write(notices);
    *slot = notice; /* The ring has room for every notice that can be outstanding, so it is never full. */
    bw_ring_end_write(notices);
    bw_events_signal(engine);
}
