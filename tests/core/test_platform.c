/* platform.h: clock, pacing, wake-ups, batches of datagrams, memory. The same on every system. Threaded. */
#include "engine_fixture.h"

#define MS_NS 1000000
#define ROOM 2048 /* of a receiving buffer */

/* ---- clock and pacing */

static void test_clock_never_goes_back_and_is_finer_than_a_millisecond(void) {
    int64_t before_ns = bw_now_ns(), smallest_step_ns = INT64_MAX;
    for (int64_t end_ns = before_ns + 20 * MS_NS; before_ns < end_ns;) {
        int64_t now_ns = bw_now_ns();
        CHECK_AT_LEAST(now_ns, before_ns);
        if (now_ns > before_ns && now_ns - before_ns < smallest_step_ns)
            smallest_step_ns = now_ns - before_ns;
        before_ns = now_ns;
    }
    CHECK_LESS(smallest_step_ns, MS_NS);
}

static void test_pacer_reaches_each_deadline(void) {
    bw_pacer pacer = bw_pacer_begin();
    int64_t start_ns = bw_now_ns();
    const int64_t after_ns[] = {100, 333 * 1000, MS_NS, 2 * MS_NS + 1, 10 * MS_NS, 27 * MS_NS + 499};
    for (size_t i = 0; i < sizeof after_ns / sizeof after_ns[0]; i++) {
        bw_pacer_sleep_until_ns(&pacer, start_ns + after_ns[i]);
        CHECK_AT_LEAST(bw_now_ns() - start_ns, after_ns[i]);
    }
    bw_pacer_end(&pacer);
}

static void test_pacer_does_not_wait_for_a_deadline_that_has_passed(void) {
    bw_pacer pacer = bw_pacer_begin();
    int64_t start_ns = bw_now_ns();
    for (int i = 0; i < 1000; i++)
        bw_pacer_sleep_until_ns(&pacer, start_ns);
    bw_pacer_sleep_until_ns(&pacer, -MS_NS);
    CHECK_LESS(bw_now_ns() - start_ns, 1000 * MS_NS); /* less than a millisecond each */
    bw_pacer_end(&pacer);
}

static void start_and_stop_engine(void) {
    fixture f = open_engine(default_settings(), NULL);
    close_engine(&f);
}

static void test_stopped_engine_leaves_no_handle_open(void) {
    start_and_stop_engine(); /* Some handles of the system's libraries stay open from their first use on. */
    int before = count_handles();
    for (int i = 0; i < 10; i++)
        start_and_stop_engine();
    CHECK_EQ(count_handles(), before);
}

/* ---- wake-ups */

static void test_wake_is_readable_from_signal_to_clear(void) {
    bw_wake wake;
    CHECK(bw_wake_init(&wake));
    for (int i = 0; i < 3; i++) {
        CHECK(!is_readable(wake.read_descriptor, 0));
        bw_wake_signal(&wake);
        CHECK(is_readable(wake.read_descriptor, 1000));
        bw_wake_signal(&wake);
        CHECK(is_readable(wake.read_descriptor, 0));
        bw_wake_clear(&wake);
    }
    bw_wake_clear(&wake);
    CHECK(!is_readable(wake.read_descriptor, 0));
    bw_wake_destroy(&wake);
    CHECK_EQ(wake.read_descriptor, -1);
    bw_wake_destroy(&wake);
}

static void test_any_number_of_signals_neither_blocks_nor_outlasts_a_clear(void) {
    bw_wake wake;
    CHECK(bw_wake_init(&wake));
    for (int i = 0; i < 3000; i++)
        bw_wake_signal(&wake);
    CHECK(is_readable(wake.read_descriptor, 1000));
    bw_wake_clear(&wake);
    CHECK(!is_readable(wake.read_descriptor, 0));
    bw_wake_destroy(&wake);
}

/* WSAPoll fails without descriptors, and when the network is down; poll does neither. */
static void test_thread_that_polls_again_after_failures_does_not_spin(void) {
    struct pollfd none;
    int64_t start_ns = bw_now_ns();
    int failures = 0;
    for (int i = 0; i < 20; i++)
        failures += bw_poll(&none, 0, 0) < 0;
#ifdef _WIN32
    CHECK_EQ(failures, 20);
#endif
    CHECK_AT_LEAST(bw_now_ns() - start_ns, failures * MS_NS / 2);
}

/* Where wake-ups are sockets, other programs can send to them. */
static void test_datagram_of_others_is_no_signal(void) {
    bw_wake wake;
    bw_address other_address, address;
    struct sockaddr_storage name;
    socklen_t length = sizeof name;
    CHECK(bw_wake_init(&wake));
    if (getsockname(wake.read_descriptor, (struct sockaddr *)&name, &length) == 0) {
        int other = open_loopback_socket(&other_address);
        CHECK(bw_address_from_sockaddr(&name, &address));
        CHECK(send_to(other, "!", 1, &address));
        CHECK(!is_readable(wake.read_descriptor, 50));
        close_socket(other);
    }
    bw_wake_destroy(&wake);
}

/* ---- datagrams */

typedef struct {
    struct mmsghdr messages[8];
    struct iovec vectors[8];
    struct sockaddr_storage names[8];
    uint8_t bytes[8][ROOM];
} batch;

static void prepare_batch(batch *prepared) {
    for (int i = 0; i < 8; i++) {
        prepared->vectors[i] = (struct iovec){prepared->bytes[i], ROOM};
        prepared->messages[i] = (struct mmsghdr){.msg_hdr = {.msg_name = &prepared->names[i],
                                                             .msg_namelen = sizeof prepared->names[i],
                                                             .msg_iov = &prepared->vectors[i],
                                                             .msg_iovlen = 1}};
    }
}

static void set_receiver(batch *prepared, int i, const bw_address *to, size_t bytes) {
    prepared->messages[i].msg_hdr.msg_namelen = bw_address_to_sockaddr(to, &prepared->names[i]);
    prepared->vectors[i].iov_len = bytes;
    memset(prepared->bytes[i], i, bytes);
}

static int open_prepared_socket(bw_address *address) {
    int opened = open_loopback_socket(address);
    CHECK(bw_prepare_socket(opened));
    return opened;
}

static void test_no_socket_is_refused(void) { CHECK(!bw_prepare_socket(-1)); }

static void test_batches_carry_datagrams_in_order_with_their_source(void) {
    static batch sent, received;
    bw_address from, to, source;
    int sender = open_prepared_socket(&from), receiver = open_prepared_socket(&to);
    prepare_batch(&sent);
    prepare_batch(&received);
    for (int i = 0; i < 5; i++)
        set_receiver(&sent, i, &to, 100 * (size_t)i);
    CHECK_EQ(bw_send_batch(sender, sent.messages, 5), 5);
    CHECK(is_readable(receiver, 1000));
    CHECK_EQ(bw_receive_batch(receiver, received.messages, 8), 5);
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(received.messages[i].msg_len, 100 * i);
        CHECK_EQ(memcmp(received.bytes[i], sent.bytes[i], 100 * (size_t)i), 0);
        CHECK(bw_address_from_sockaddr(&received.names[i], &source) && bw_address_equal(&source, &from));
    }
    CHECK(!is_readable(receiver, 0));
    CHECK_EQ(bw_receive_batch(receiver, received.messages, 8), -1); /* and does not block */
    close_socket(sender);
    close_socket(receiver);
}

static void test_datagram_that_cannot_be_sent_ends_its_batch_only(void) {
    static batch sent, received;
    bw_address from, to, nowhere = {.family = 4, .ip = {127, 0, 0, 1}, .port = 0};
    int sender = open_prepared_socket(&from), receiver = open_prepared_socket(&to);
    prepare_batch(&sent);
    prepare_batch(&received);
    set_receiver(&sent, 0, &to, 10);
    set_receiver(&sent, 1, &nowhere, 10);
    set_receiver(&sent, 2, &to, 12);
    CHECK_EQ(bw_send_batch(sender, sent.messages, 3), 1);
    CHECK_EQ(bw_send_batch(sender, sent.messages + 1, 2), -1);
    CHECK_EQ(bw_send_batch(sender, sent.messages + 2, 1), 1);
    CHECK(is_readable(receiver, 1000));
    CHECK_EQ(bw_receive_batch(receiver, received.messages, 8), 2);
    CHECK_EQ(received.messages[1].msg_len, 12);
    close_socket(sender);
    close_socket(receiver);
}

static void test_too_long_datagram_fills_its_buffer_and_loses_no_other(void) {
    static batch received;
    static uint8_t huge[ROOM + 1000] = {1};
    bw_address from, to;
    int sender = open_prepared_socket(&from), receiver = open_prepared_socket(&to);
    prepare_batch(&received);
    CHECK(send_to(sender, huge, 7, &to));
    CHECK(send_to(sender, huge, sizeof huge, &to));
    CHECK(send_to(sender, huge, 8, &to));
    CHECK(is_readable(receiver, 1000));
    CHECK_EQ(bw_receive_batch(receiver, received.messages, 8), 3);
    CHECK_EQ(received.messages[0].msg_len, 7);
    CHECK_EQ(received.messages[1].msg_len, ROOM);
    CHECK_EQ(received.messages[2].msg_len, 8);
    close_socket(sender);
    close_socket(receiver);
}

/* Windows reports "port unreachable" to the next receive unless told otherwise. */
static void test_receiving_continues_after_sending_to_a_closed_port(void) {
    static batch sent, received;
    bw_address closed, from, to;
    int sender = open_prepared_socket(&from), receiver = open_prepared_socket(&to);
    close_socket(open_loopback_socket(&closed));
    prepare_batch(&sent);
    for (int i = 0; i < 3; i++)
        set_receiver(&sent, i, &closed, 10);
    CHECK_EQ(bw_send_batch(receiver, sent.messages, 3), 3);
    CHECK(!is_readable(receiver, 20));
    CHECK(send_to(sender, "a", 1, &to));
    CHECK(is_readable(receiver, 1000));
    prepare_batch(&received);
    CHECK_EQ(bw_receive_batch(receiver, received.messages, 8), 1);
    CHECK_EQ(received.messages[0].msg_len, 1);
    close_socket(sender);
    close_socket(receiver);
}

/* ---- memory */

static void test_aligned_memory_starts_on_a_cache_line(void) {
    for (size_t bytes = 1; bytes < 300; bytes += 37) {
        uint8_t *memory = bw_allocate_aligned(bytes);
        CHECK(memory != NULL);
        CHECK_EQ((uintptr_t)memory % 64, 0);
        memset(memory, 1, bytes);
        bw_free_aligned(memory);
    }
}

int main(void) {
    RUN(test_clock_never_goes_back_and_is_finer_than_a_millisecond);
    RUN(test_pacer_reaches_each_deadline);
    RUN(test_pacer_does_not_wait_for_a_deadline_that_has_passed);
    RUN(test_stopped_engine_leaves_no_handle_open);
    RUN(test_wake_is_readable_from_signal_to_clear);
    RUN(test_any_number_of_signals_neither_blocks_nor_outlasts_a_clear);
    RUN(test_thread_that_polls_again_after_failures_does_not_spin);
    RUN(test_datagram_of_others_is_no_signal);
    RUN(test_no_socket_is_refused);
    RUN(test_batches_carry_datagrams_in_order_with_their_source);
    RUN(test_datagram_that_cannot_be_sent_ends_its_batch_only);
    RUN(test_too_long_datagram_fills_its_buffer_and_loses_no_other);
    RUN(test_receiving_continues_after_sending_to_a_closed_port);
    RUN(test_aligned_memory_starts_on_a_cache_line);
    return 0;
}
