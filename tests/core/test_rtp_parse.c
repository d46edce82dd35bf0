/* RTP, header extensions and RED: tables of packets, and every truncation of each. */
#include "check.h"
#include "rtp_parse.h"

#include <stdlib.h>
#include <string.h>

#define HEADER 0x12, 0x34, 0x00, 0x01, 0x00, 0x00, 0xDE, 0xAD, 0xBE, 0xEF /* follows the first two bytes */

/* Parses an exact-size copy, so that AddressSanitizer detects any read past the end. */
static bool parse_exact(bw_rtp_packet *packet, const uint8_t *data, uint32_t length, uint8_t **copy) {
    *copy = malloc(length > 0 ? length : 1);
    memcpy(*copy, data, length);
    return bw_rtp_parse(packet, *copy, length);
}

/* Covers OP17. */
static void test_plain_header_is_parsed(void) {
    const uint8_t data[] = {0x80, 0xEF, HEADER, 0xAA, 0xBB};
    bw_rtp_packet packet;
    CHECK(bw_rtp_parse(&packet, data, sizeof data));
    CHECK(packet.marker);
    CHECK_EQ(packet.payload_type, 111);
    CHECK_EQ(packet.sequence, 0x1234);
    CHECK_EQ(packet.timestamp, 0x00010000);
    CHECK_EQ(packet.ssrc, 0xDEADBEEF);
    CHECK_EQ(packet.payload_bytes, 2);
    CHECK_EQ(packet.payload[0], 0xAA);
}

/* Covers OP17. */
static void test_fifteen_csrcs_are_skipped(void) {
    uint8_t data[12 + 60 + 1] = {0x8F, 0x6F, HEADER};
    data[72] = 0x55;
    bw_rtp_packet packet;
    CHECK(bw_rtp_parse(&packet, data, sizeof data));
    CHECK_EQ(packet.csrc_count, 15);
    CHECK_EQ(packet.payload_bytes, 1);
    CHECK_EQ(packet.payload[0], 0x55);
    CHECK(bw_rtp_parse(&packet, data, 72));
    CHECK_EQ(packet.payload_bytes, 0);
    CHECK(!bw_rtp_parse(&packet, data, 71));
}

static void check_skipped(const uint8_t *data, uint32_t length) {
    bw_rtp_packet packet;
    uint8_t *copy;
    CHECK(parse_exact(&packet, data, length, &copy));
    CHECK_EQ(packet.payload_bytes, 1);
    CHECK_EQ(packet.payload[0], 0xCC);
    free(copy);
}

/* Covers OP17. RFC 8285, 4.2: id 1 (one byte), padding, id 3 (two bytes), id 15, id 2; an element past the end;
 * empty. */
static void test_one_byte_extensions_are_skipped(void) {
    const uint8_t well[] = {0x90, 0x6F, HEADER, 0xBE, 0xDE, 0,    3,    0x10, 0x77, 0,
                            0x31, 0x61, 0x62,   0xF0, 0x00, 0x20, 0x01, 0,    0,    0xCC};
    const uint8_t broken[] = {0x90, 0x6F, HEADER, 0xBE, 0xDE, 0, 1, 0x1F, 1, 2, 3, 0xCC};
    const uint8_t empty[] = {0x90, 0x6F, HEADER, 0xBE, 0xDE, 0, 0, 0xCC};
    check_skipped(well, sizeof well);
    check_skipped(broken, sizeof broken);
    check_skipped(empty, sizeof empty);
}

/* Covers OP17. RFC 8285, 4.3; an element past the end; an unknown profile. */
static void test_two_byte_and_unknown_extensions_are_skipped(void) {
    const uint8_t well[] = {0x90, 0x6F, HEADER, 0x10, 0x05, 0, 2, 0, 7, 0, 16, 2, 0x61, 0x62, 0, 0xCC};
    const uint8_t broken[] = {0x90, 0x6F, HEADER, 0x10, 0x00, 0, 1, 0x01, 3, 2, 3, 0xCC};
    const uint8_t other[] = {0x90, 0x6F, HEADER, 0x12, 0x34, 0, 1, 0xFF, 0xFF, 0xFF, 0xFF, 0xCC};
    check_skipped(well, sizeof well);
    check_skipped(broken, sizeof broken);
    check_skipped(other, sizeof other);
}

/* Covers OP17. */
static void test_extension_past_end_is_rejected(void) {
    const uint8_t data[] = {0x90, 0x6F, HEADER, 0xBE, 0xDE, 0xFF, 0xFF, 1, 2, 3, 4};
    bw_rtp_packet packet;
    CHECK(!bw_rtp_parse(&packet, data, sizeof data));
}

/* Covers OP13. */
static void test_padding_is_removed(void) {
    const uint8_t data[] = {0xA0, 0x6F, HEADER, 0xAA, 0, 0, 3};
    const uint8_t all[] = {0xA0, 0x6F, HEADER, 0, 2};
    const uint8_t too_long[] = {0xA0, 0x6F, HEADER, 0, 3};
    const uint8_t zero[] = {0xA0, 0x6F, HEADER, 0, 0};
    const uint8_t none[] = {0xA0, 0x6F, HEADER};
    bw_rtp_packet packet;
    CHECK(bw_rtp_parse(&packet, data, sizeof data));
    CHECK_EQ(packet.payload_bytes, 1);
    CHECK(bw_rtp_parse(&packet, all, sizeof all));
    CHECK_EQ(packet.payload_bytes, 0);
    CHECK(!bw_rtp_parse(&packet, too_long, sizeof too_long));
    CHECK(!bw_rtp_parse(&packet, zero, sizeof zero));
    CHECK(!bw_rtp_parse(&packet, none, sizeof none));
    CHECK(bw_rtp_parse_header(&packet, zero, sizeof zero)); /* before it is decrypted, any byte may be the last one */
    CHECK_EQ(packet.payload_bytes, 2);
}

static void test_other_rtp_versions_are_rejected(void) {
    uint8_t data[] = {0x80, 0x6F, HEADER};
    bw_rtp_packet packet;
    CHECK(bw_rtp_parse(&packet, data, sizeof data));
    for (int version = 0; version < 4; version++) {
        data[0] = (uint8_t)(version << 6);
        CHECK_EQ(bw_rtp_parse(&packet, data, sizeof data), version == 2);
    }
}

/* Covers SE70. */
static void test_truncated_packets_are_parsed_without_overread(void) {
    const uint8_t data[] = {0xB2, 0x6F, HEADER, 1, 2, 3, 4, 5, 6, 7, 8, 0xBE, 0xDE, 0, 1, 0x32, 1, 2, 3, 0xAA, 1};
    bw_rtp_packet packet;
    uint8_t *copy;
    for (uint32_t length = 0; length <= sizeof data; length++) {
        if (parse_exact(&packet, data, length, &copy))
            CHECK(packet.payload >= copy && packet.payload + packet.payload_bytes <= copy + length);
        free(copy);
    }
    CHECK(parse_exact(&packet, data, sizeof data, &copy));
    CHECK_EQ(packet.payload_bytes, 1);
    free(copy);
}

static void test_red_blocks_are_oldest_first_with_own_timestamps(void) {
    const uint8_t payload[] = {
        0xEF, 1920u >> 6 & 0xFF, (1920u & 0x3F) << 2, 1, 0xEF, 960u >> 6, (960u & 0x3F) << 2, 2, 0x6F, 0xA1, 0xB1, 0xB2,
        0xC1};
    bw_red_block blocks[BW_RED_MAX_BLOCKS];
    CHECK_EQ(bw_red_parse(blocks, payload, sizeof payload, 1000), 3);
    CHECK_EQ(blocks[0].timestamp, 1000u - 1920u); /* wraps */
    CHECK_EQ(blocks[0].data[0], 0xA1);
    CHECK_EQ(blocks[0].bytes, 1);
    CHECK_EQ(blocks[1].timestamp, 40);
    CHECK_EQ(blocks[1].data[1], 0xB2);
    CHECK_EQ(blocks[2].payload_type, 111);
    CHECK_EQ(blocks[2].timestamp, 1000);
    CHECK_EQ(blocks[2].bytes, 1);
    CHECK_EQ(blocks[2].data[0], 0xC1);
}

static void test_red_with_only_primary_block_is_parsed(void) {
    const uint8_t payload[] = {0x6F};
    bw_red_block blocks[BW_RED_MAX_BLOCKS];
    CHECK_EQ(bw_red_parse(blocks, payload, 1, 5), 1);
    CHECK_EQ(blocks[0].bytes, 0);
}

static void test_malformed_red_is_rejected(void) {
    const uint8_t past_the_end[] = {0xEF, 0, 0, 5, 0x6F, 1, 2, 3, 4};
    const uint8_t no_primary[] = {0xEF, 0, 0, 0};
    bw_red_block blocks[BW_RED_MAX_BLOCKS];
    CHECK_EQ(bw_red_parse(blocks, past_the_end, sizeof past_the_end, 0), 0);
    CHECK_EQ(bw_red_parse(blocks, no_primary, sizeof no_primary, 0), 0);
    CHECK_EQ(bw_red_parse(blocks, no_primary, 3, 0), 0);
    CHECK_EQ(bw_red_parse(blocks, no_primary, 0, 0), 0);
}

static void test_red_with_32_blocks_is_parsed_and_33_rejected(void) {
    uint8_t payload[4 * 32 + 1];
    bw_red_block blocks[BW_RED_MAX_BLOCKS];
    for (uint32_t i = 0; i < 32; i++)
        memcpy(payload + 4 * i, (uint8_t[]){0xEF, 0, 0, 0}, 4);
    payload[4 * 31] = payload[4 * 32] = 0x6F;
    CHECK_EQ(bw_red_parse(blocks, payload, 4 * 31 + 1, 0), 32);
    payload[4 * 31] = 0xEF;
    CHECK_EQ(bw_red_parse(blocks, payload, sizeof payload, 0), 0);
}

int main(void) {
    RUN(test_plain_header_is_parsed);
    RUN(test_fifteen_csrcs_are_skipped);
    RUN(test_one_byte_extensions_are_skipped);
    RUN(test_two_byte_and_unknown_extensions_are_skipped);
    RUN(test_extension_past_end_is_rejected);
    RUN(test_padding_is_removed);
    RUN(test_other_rtp_versions_are_rejected);
    RUN(test_truncated_packets_are_parsed_without_overread);
    RUN(test_red_blocks_are_oldest_first_with_own_timestamps);
    RUN(test_red_with_only_primary_block_is_parsed);
    RUN(test_malformed_red_is_rejected);
    RUN(test_red_with_32_blocks_is_parsed_and_33_rejected);
    return 0;
}
