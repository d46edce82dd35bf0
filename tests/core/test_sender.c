/* The sending thread as seen by its peers. Threaded. */
#include "engine_fixture.h"
#include "fan_out.h"
#include "opus_packet.h"
#include "tone.h"

#define GCM BW_SRTP_AEAD_AES_128_GCM
#define CM BW_SRTP_AES128_CM_SHA1_80

static bw_source *tone(void) { return bw_source_new_tone(440, 880, -12); }

/* Covers OP10 and OP11: one Opus packet each; the sequence number grows by one, the timestamp by the frame, also at
 * wraps. */
static void test_sequence_numbers_and_timestamps_are_consecutive(void) {
    bw_source *source = tone();
    fixture f = open_engine(default_settings(), source);
    bw_peer_config config = peer_config(GCM);
    listener l = add_listener(&f, 0, &config);
    packet before = receive_packet(&l);
    CHECK_EQ(packet_sequence(&before), config.sequence);
    CHECK_EQ((packet_timestamp(&before) - config.timestamp_offset) % 480, 0);
    CHECK_EQ(before.bytes[0], 0x80);
    CHECK_EQ(before.bytes[1] & 0x7F, FIXTURE_PAYLOAD_TYPE);
    CHECK_EQ(read_u32(before.bytes + 8), FIXTURE_SSRC);
    for (int i = 0; i < 20; i++) {
        packet next = receive_packet(&l);
        CHECK_EQ(packet_sequence(&next), packet_sequence(&before) + 1);
        CHECK_EQ(packet_timestamp(&next), (uint32_t)(packet_timestamp(&before) + 480));
        before = next;
    }
    close_listener(&l);
    close_engine(&f);
    bw_source_free(source);
}

static void test_every_peer_gets_same_frame_with_own_header(void) {
    bw_source *source = tone();
    fixture f = open_engine(default_settings(), source);
    bw_peer_config first_config = peer_config(GCM), second_config = peer_config(CM);
    second_config.ssrc = 0x55667788;
    second_config.timestamp_offset = 5000;
    second_config.sequence = 9;
    listener first = add_listener(&f, 0, &first_config), second = add_listener(&f, 1, &second_config);
    packet a = receive_packet(&first), b = receive_packet(&second);
    while (packet_timestamp(&a) - first_config.timestamp_offset < packet_timestamp(&b) - second_config.timestamp_offset)
        a = receive_packet(&first);
    CHECK_EQ(packet_timestamp(&a) - first_config.timestamp_offset, packet_timestamp(&b) - 5000);
    CHECK_EQ(a.length, b.length);
    CHECK_EQ(memcmp(a.bytes + 12, b.bytes + 12, (size_t)a.length - 12), 0);
    CHECK_EQ(read_u32(b.bytes + 8), 0x55667788);
    CHECK_EQ(packet_sequence(&b), 9);
    close_listener(&first);
    close_listener(&second);
    close_engine(&f);
    bw_source_free(source);
}

/* The identical packet is sent again, at most twice (RFC 4585, 6.2.1); unknown sequence numbers are ignored. */
static void test_resend_sends_identical_packet(void) {
    bw_source *source = tone();
    fixture f = open_engine(default_settings(), source);
    bw_peer_config config = peer_config(GCM);
    listener l = add_listener(&f, 0, &config);
    packet original, again;
    CHECK(receive_wire(&l, &original));
    for (int i = 0; i < 4; i++)
        CHECK_EQ(bw_peer_resend(f.engine, 0, config.sequence), BW_OK);
    CHECK_EQ(bw_peer_resend(f.engine, 0, 60000), BW_OK);
    int copies = 0;
    for (int i = 0; i < 20; i++) {
        CHECK(receive_wire(&l, &again));
        if (read_u16(again.wire + 2) != config.sequence)
            continue;
        copies++;
        CHECK_EQ(again.wire_length, original.wire_length);
        CHECK_EQ(memcmp(again.wire, original.wire, (size_t)original.wire_length), 0);
    }
    CHECK_EQ(copies, 2);
    bw_peer_stats stats;
    CHECK_EQ(bw_peer_get_stats(f.engine, 0, &stats), BW_OK);
    CHECK_EQ(stats.packets_resent, 2);
    close_listener(&l);
    close_engine(&f);
    bw_source_free(source);
}

/* Each packet contains the previous frame as it was sent (RFC 2198, 3). */
static void test_redundancy_repeats_previous_frame(void) {
    bw_source *source = tone();
    fixture f = open_engine(default_settings(), source);
    bw_peer_config config = peer_config(GCM);
    listener l = add_listener(&f, 0, &config);
    CHECK_EQ(bw_peer_set_redundancy(f.engine, 0, 1), BW_OK);
    packet before = receive_packet(&l), now = before;
    while ((now.bytes[1] & 0x7F) != FIXTURE_RED) {
        before = now;
        now = receive_packet(&l);
    }
    if ((before.bytes[1] & 0x7F) == FIXTURE_PAYLOAD_TYPE) {
        uint32_t header = read_u32(now.bytes + 12);
        uint32_t copy_length = header & 0x3FF;
        CHECK_EQ(header >> 31, 1);
        CHECK_EQ(header >> 24 & 0x7F, FIXTURE_PAYLOAD_TYPE);
        CHECK_EQ(header >> 10 & 0x3FFF, 480);
        CHECK_EQ(now.bytes[16], FIXTURE_PAYLOAD_TYPE);
        CHECK_EQ(copy_length, before.length - 12);
        CHECK_EQ(memcmp(now.bytes + 17, before.bytes + 12, copy_length), 0);
    }
    close_listener(&l);
    close_engine(&f);
    bw_source_free(source);
}

static uint32_t active_peers(const fixture *f) {
    bw_engine_stats stats;
    bw_engine_get_stats(f->engine, &stats);
    return stats.active_peers;
}

static void test_removed_peer_is_reported_and_its_slot_is_reused(void) {
    bw_source *source = tone();
    fixture f = open_engine(default_settings(), source);
    bw_peer_config config = peer_config(GCM);
    for (int round = 0; round < 20; round++) {
        listener l = add_listener(&f, 3, &config);
        CHECK_EQ(bw_peer_add(f.engine, 3, &config), BW_ERROR_BUSY);
        receive_packet(&l);
        CHECK_EQ(active_peers(&f), 1);
        CHECK_EQ(bw_peer_remove(f.engine, 3), BW_OK);
        CHECK_EQ(active_peers(&f), 0);
        CHECK_EQ(bw_peer_remove(f.engine, 3), BW_ERROR_ARGUMENT);
        CHECK_EQ(wait_event(&f, BW_EVENT_PEER_REMOVED).peer, 3);
        bw_peer_stats stats;
        CHECK_EQ(bw_peer_get_stats(f.engine, 3, &stats), BW_OK);
        CHECK_EQ(stats.packets_sent, 0);
        close_listener(&l);
    }
    close_engine(&f);
    bw_source_free(source);
}

static void test_slot_without_keys_can_be_removed(void) {
    fixture f = open_engine(default_settings(), NULL);
    CHECK_EQ(bw_peer_remove(f.engine, 5), BW_OK);
    CHECK_EQ(active_peers(&f), 0);
    CHECK_EQ(wait_event(&f, BW_EVENT_PEER_REMOVED).peer, 5);
    close_engine(&f);
}

static void test_source_end_is_reported_once_and_silence_follows(void) {
    bw_source *source = bw_source_new_pcm(48000, 2);
    float samples[4800] = {0};
    CHECK_EQ(bw_source_write(source, samples, 2400), 2400);
    bw_source_end(source);
    fixture f = open_engine(default_settings(), source);
    bw_peer_config config = peer_config(GCM);
    listener l = add_listener(&f, 0, &config);
    bw_event end = wait_event(&f, BW_EVENT_SOURCE_ENDED);
    CHECK_EQ(end.peer, BW_NO_PEER);
    CHECK_EQ(end.value, BW_SOURCE_ENDED);
    for (int i = 0; i < 10; i++)
        receive_packet(&l);
    bw_event event;
    CHECK_EQ(bw_engine_next_events(f.engine, &event, 1), 0);
    bw_engine_stats stats;
    bw_engine_get_stats(f.engine, &stats);
    CHECK_EQ(stats.source_ended, 1);
    CHECK_EQ(stats.source_ends, 1);
    CHECK_EQ(stats.source_error, BW_SOURCE_ENDED);
    CHECK_EQ(stats.source_underruns, 0);
    close_listener(&l);
    close_engine(&f);
    bw_source_free(source);
}

static bw_engine_stats read_stats(const fixture *f) {
    bw_engine_stats stats;
    bw_engine_get_stats(f->engine, &stats);
    return stats;
}

/* A source that is lost is replaced by none, then by its successor, while packets go on without a gap. */
static void test_source_is_replaced_between_two_frames(void) {
    bw_source *first = tone(), *second = tone();
    fixture f = open_engine(default_settings(), first);
    bw_peer_config config = peer_config(GCM);
    listener l = add_listener(&f, 0, &config);
    packet before = receive_packet(&l);
    for (int round = 0; round < 3; round++) {
        CHECK_EQ(bw_channel_set_source(f.engine, 0, NULL, 0, 40), BW_OK);
        CHECK_EQ(bw_channel_set_source(f.engine, 0, NULL, 0, 40), BW_ERROR_BUSY);
        bw_event end = wait_event(&f, BW_EVENT_SOURCE_ENDED);
        CHECK_EQ(end.value, 40);
        wait_event(&f, BW_EVENT_SOURCE_REPLACED);
        CHECK_EQ(read_stats(&f).source_ended, 1);
        CHECK_EQ(read_stats(&f).source_ends, round + 1);
        CHECK_EQ(bw_channel_set_source(f.engine, 0, round % 2 ? first : second, 0, 0), BW_OK);
        wait_event(&f, BW_EVENT_SOURCE_REPLACED);
        CHECK_EQ(read_stats(&f).source_ended, 0);
        CHECK_EQ(read_stats(&f).source_error, 40);
    }
    bw_source_free(first);
    for (int i = 0; i < 5; i++) {
        packet next = receive_packet(&l);
        CHECK_EQ(packet_sequence(&next), packet_sequence(&before) + 1);
        before = next;
    }
    CHECK_EQ(read_stats(&f).source_ends, 3);
    CHECK_EQ(read_stats(&f).source_underruns, 0);
    close_listener(&l);
    close_engine(&f);
    bw_source_free(second);
}

static void test_source_underruns_are_counted(void) {
    bw_source *source = bw_source_new_pcm(48000, 1);
    float samples[480] = {0};
    CHECK_EQ(bw_source_write(source, samples, 480), 480);
    fixture f = open_engine(default_settings(), source);
    bw_peer_config config = peer_config(GCM);
    listener l = add_listener(&f, 0, &config);
    for (int i = 0; i < 10; i++)
        receive_packet(&l);
    bw_engine_stats stats;
    bw_engine_get_stats(f.engine, &stats);
    CHECK_AT_LEAST(stats.source_underruns, 8);
    close_listener(&l);
    close_engine(&f);
    bw_source_free(source);
}

/* Covers OP12: silent frames are omitted, the timestamp jumps, the sequence number does not, the marker starts the
 * talkspurt. */
static void test_dtx_omits_silence(void) {
    settings config = default_settings();
    config.channel.dtx = 1;
    config.channel.application = BW_APPLICATION_VOIP;
    config.engine.frame_samples = 960;
    config.channel.bitrates_bps[0] = 24000;
    fixture f = open_engine(config, NULL);
    bw_peer_config peer = peer_config(GCM);
    listener l = add_listener(&f, 0, &peer);
    packet before = receive_packet(&l);
    for (int i = 0; i < 40; i++) {
        packet next = receive_packet(&l);
        uint32_t step = packet_timestamp(&next) - packet_timestamp(&before);
        CHECK_EQ(packet_sequence(&next), packet_sequence(&before) + 1);
        CHECK_EQ(step % 960, 0);
        if (step > 960) {
            CHECK_EQ(next.bytes[1] >> 7, 1);
            close_listener(&l);
            close_engine(&f);
            return;
        }
        CHECK_EQ(next.bytes[1] >> 7, 0);
        before = next;
    }
    CHECK(!"no frame was left out");
}

/* Counts the packets with voice that contain a copy of the previous frame. */
static uint32_t count_copies(uint32_t application, uint32_t in_band_fec, uint32_t expected_loss_percent) {
    static float voice[2 * 24000];
    settings config = {.engine = {.max_peers = 1, .frame_samples = 960, .fan_out_threads = 1},
                       .channel = {.encodings = 1,
                                   .bitrates_bps = {application == BW_APPLICATION_VOIP ? 32000 : 128000},
                                   .complexity = 5,
                                   .application = application,
                                   .in_band_fec = in_band_fec}};
    bw_source *source = bw_source_new_pcm(48000, 2);
    tone_write_voice(voice, 24000, 2, 0);
    CHECK_EQ(bw_source_write(source, voice, 24000), 24000);
    fixture f = open_engine(config, source);
    bw_peer_config peer = peer_config(GCM);
    CHECK_EQ(bw_channel_set_expected_loss(f.engine, 0, 0, expected_loss_percent), BW_OK);
    listener l = add_listener(&f, 0, &peer);
    uint32_t copies = 0;
    for (int i = 0; i < 15; i++) {
        packet next = receive_packet(&l);
        copies += bw_opus_recoverable_samples(next.bytes + 12, (uint32_t)next.length - 12) == 960;
    }
    close_listener(&l);
    close_engine(&f);
    bw_source_free(source);
    return copies;
}

static void test_fec_copies_are_sent_for_speech_under_loss_but_not_for_music(void) {
    CHECK_AT_LEAST(count_copies(BW_APPLICATION_VOIP, 1, 20), 8);
    CHECK_EQ(count_copies(BW_APPLICATION_VOIP, 1, 0), 0);
    CHECK_EQ(count_copies(BW_APPLICATION_VOIP, 0, 20), 0);
    CHECK_EQ(count_copies(BW_APPLICATION_AUDIO, 1, 20), 0);
}

static void test_unsent_packets_are_counted_and_delay_no_peer(void) {
    bw_source *source = tone();
    fixture f = open_engine(default_settings(), source);
    bw_peer_config config = peer_config(GCM), other = peer_config(GCM);
    other.ssrc = 5;
    listener dead = add_listener(&f, 0, &config);
    bw_address unreachable = {.family = 6, .ip = {0x20, 0x01, 0x0d, 0xb8}, .port = 9};
    /* An IPv6 address on an IPv4 socket. */
    CHECK_EQ(bw_peer_set_path(f.engine, 0, f.socket_index, &unreachable), BW_OK);
    listener alive = add_listener(&f, 1, &other);
    for (int i = 0; i < 10; i++)
        receive_packet(&alive);
    bw_peer_stats stats;
    bw_peer_get_stats(f.engine, 0, &stats);
    CHECK_AT_LEAST(stats.send_drops, 5);
    close_listener(&dead);
    close_listener(&alive);
    close_engine(&f);
    bw_source_free(source);
}

static void test_invalid_arguments_are_rejected(void) {
    int status = BW_OK;
    settings config = default_settings();
    config.engine.frame_samples = 100;
    CHECK(bw_engine_new(&config.engine, &status) == NULL);
    CHECK_EQ(status, BW_ERROR_ARGUMENT);
    fixture f = open_engine(default_settings(), NULL);
    bw_peer_config peer = peer_config(GCM);
    bw_address address = {.family = 4, .ip = {127, 0, 0, 1}, .port = 9};
    CHECK_EQ(bw_peer_add(f.engine, 8, &peer), BW_ERROR_ARGUMENT);
    peer.srtp_profile = 99;
    CHECK_EQ(bw_peer_add(f.engine, 0, &peer), BW_ERROR_SRTP);
    CHECK_EQ(bw_peer_set_path(f.engine, 0, 0, &address), BW_ERROR_ARGUMENT); /* the peer has not been added */
    CHECK_EQ(bw_peer_set_path(f.engine, 0, 7, &address), BW_ERROR_ARGUMENT);
    CHECK_EQ(bw_channel_set_bitrate(f.engine, 0, 0, 5999), BW_ERROR_ARGUMENT);
    CHECK_EQ(bw_channel_set_expected_loss(f.engine, 0, 0, 101), BW_ERROR_ARGUMENT);
    close_engine(&f);
}

/* Covers SE9: the roll-over counter is part of the IV, and the receiver follows across the wrap. */
static void test_srtp_works_across_sequence_wrap(void) {
    const uint32_t profiles[] = {GCM, CM};
    for (int i = 0; i < 2; i++) {
        bw_peer_config config = peer_config(profiles[i]);
        bw_srtp_keys sender, receiver;
        bw_srtp_streams streams = {0};
        CHECK(bw_srtp_keys_init(&sender, BW_SRTP_RTP, profiles[i], config.local_key));
        CHECK(bw_srtp_keys_init(&receiver, BW_SRTP_RTP, profiles[i], config.local_key));
        for (uint64_t index = 65000; index < 66000; index++) {
            uint8_t bytes[128] = {0x80,
                                  FIXTURE_PAYLOAD_TYPE,
                                  (uint8_t)(index >> 8),
                                  (uint8_t)index,
                                  0,
                                  0,
                                  0,
                                  0,
                                  0x11,
                                  0x22,
                                  0x33,
                                  0x44,
                                  1,
                                  2,
                                  3,
                                  4};
            uint32_t length = 16;
            CHECK(bw_srtp_protect_rtp(&sender, bytes, BW_RTP_HEADER_BYTES, &length, index));
            CHECK(memcmp(bytes + 12, "\1\2\3\4", 4) != 0);
            CHECK(bw_srtp_receive_rtp(&streams, &receiver, bytes, BW_RTP_HEADER_BYTES, &length));
            CHECK_EQ(length, 16);
            CHECK_EQ(memcmp(bytes + 12, "\1\2\3\4", 4), 0);
        }
        bw_srtp_keys_destroy(&sender);
        bw_srtp_keys_destroy(&receiver);
        bw_srtp_streams_destroy(&streams);
    }
}

/* NACKs of any number of peers leave room in the command ring for everything else. */
static void test_resends_use_half_of_the_command_ring(void) {
    settings silence = default_settings();
    bw_peer_config config = peer_config(BW_SRTP_AEAD_AES_128_GCM);
    int status;
    bw_engine *engine = bw_engine_new(&silence.engine, &status); /* not started: nothing empties the ring */
    CHECK_EQ(bw_channel_add(engine, &silence.channel, NULL), 0);
    uint32_t accepted = 0;
    CHECK_EQ(bw_peer_add(engine, 0, &config), BW_OK);
    while (accepted < 100000 && bw_peer_resend(engine, 0, accepted & 0xFFFF) == BW_OK)
        accepted++;
    CHECK_NEAR(accepted, engine->slots[0].fan_out->commands.mask / 2, 1);
    CHECK_EQ(bw_peer_resend(engine, 0, 1), BW_ERROR_BUSY);
    CHECK_EQ(bw_peer_set_redundancy(engine, 0, 1), BW_OK);
    CHECK_EQ(bw_peer_remove(engine, 0), BW_OK);
    bw_engine_free(engine);
}

int main(void) {
    RUN(test_sequence_numbers_and_timestamps_are_consecutive);
    RUN(test_every_peer_gets_same_frame_with_own_header);
    RUN(test_resend_sends_identical_packet);
    RUN(test_redundancy_repeats_previous_frame);
    RUN(test_removed_peer_is_reported_and_its_slot_is_reused);
    RUN(test_slot_without_keys_can_be_removed);
    RUN(test_source_end_is_reported_once_and_silence_follows);
    RUN(test_source_is_replaced_between_two_frames);
    RUN(test_source_underruns_are_counted);
    RUN(test_dtx_omits_silence);
    RUN(test_fec_copies_are_sent_for_speech_under_loss_but_not_for_music);
    RUN(test_unsent_packets_are_counted_and_delay_no_peer);
    RUN(test_invalid_arguments_are_rejected);
    RUN(test_srtp_works_across_sequence_wrap);
    RUN(test_resends_use_half_of_the_command_ring);
    return 0;
}
