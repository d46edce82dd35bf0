/* SRTP and SRTCP of single packets: the vectors of the RFCs, every kind of header, and no byte that can be changed. */
#include "srtp_packets.h"

#include <openssl/evp.h>

/* ---- vectors, which name session keys */

static uint32_t read_hex(const char *text, uint8_t *out) {
    uint32_t count = 0;
    unsigned value;
    for (; sscanf(text, " %2x", &value) == 1; text += (text[0] == ' ') + 2)
        out[count++] = (uint8_t)value;
    return count;
}

static bw_srtp_keys session_keys(bool is_gcm, const char *key, const char *salt) {
    bw_srtp_keys keys = {.is_gcm = is_gcm};
    CHECK_EQ(read_hex(key, keys.key), BW_SRTP_KEY_BYTES);
    read_hex(salt, keys.salt);
    return keys;
}

static bw_srtp_keys gcm_keys(void) {
    return session_keys(true, "00010203 04050607 08090a0b 0c0d0e0f", "51756964 2070726f 2071756f");
}

static srtp_packet from_hex(const char *text, uint32_t header_bytes) {
    srtp_packet packet = {.header_bytes = header_bytes};
    packet.length = read_hex(text, packet.bytes);
    return packet;
}

static void test_rtp_is_protected_as_in_rfc_7714_16_1(void) {
    bw_srtp_keys keys = gcm_keys();
    srtp_packet plain = from_hex("8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976 69736120 "
                                 "696e2070 61727465 73207472 6573",
                                 12);
    srtp_packet expected = from_hex("8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f "
                                    "42a5f47a 51c7d19b 36de3adf 8833899d 7f27beb1 6a9152cf 765ee439 0cce",
                                    12);
    srtp_packet wire = protect_rtp(&keys, &plain, 0xf17b);
    CHECK(is_same(&wire, &expected));
    CHECK(bw_srtp_unprotect_rtp(&keys, wire.bytes, 12, &wire.length, 0xf17b));
    CHECK(is_same(&wire, &plain));
    bw_srtp_keys_destroy(&keys);
}

static void test_rtcp_is_protected_as_in_rfc_7714_17_1(void) {
    bw_srtp_keys keys = gcm_keys();
    srtp_packet plain = from_hex("81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61 deadbeef "
                                 "deadbeef deadbeef deadbeef deadbeef",
                                 8);
    srtp_packet expected = from_hex("81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d c676a5f1 "
                                    "730d6fda 4ce09b46 86303ded 0bb9275b c84aa458 96cf4d2f c5abf872 45d9eade 800005d4",
                                    8);
    srtp_packet wire = protect_rtcp(&keys, &plain, 0x5d4);
    uint32_t index;
    CHECK(is_same(&wire, &expected));
    CHECK(bw_srtp_unprotect_rtcp(&keys, wire.bytes, &wire.length, &index));
    CHECK(is_same(&wire, &plain));
    CHECK_EQ(index, 0x5d4);
    bw_srtp_keys_destroy(&keys);
}

/* RFC 7714, 17.3: authentic, but the profiles of DTLS-SRTP encrypt SRTCP (RFC 5764, 4.1.2). */
static void test_authentic_rtcp_that_is_not_encrypted_is_refused(void) {
    bw_srtp_keys keys = gcm_keys();
    srtp_packet wire = from_hex("81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61 deadbeef "
                                "deadbeef deadbeef deadbeef deadbeef 841dd968 3dd78ec9 2ae58790 125f62b3 000005d4",
                                8);
    uint32_t index;
    CHECK(!bw_srtp_unprotect_rtcp(&keys, wire.bytes, &wire.length, &index));
    bw_srtp_keys_destroy(&keys);
    for (uint32_t flag = 0; flag < 2; flag++) {
        SHA_CTX hash;
        uint8_t sum[BW_HMAC_BYTES];
        keys = make_keys(BW_SRTP_RTCP, BW_SRTP_AES128_CM_SHA1_80);
        wire = make_rtcp(PACKET_SSRC, 32);
        put_u32(wire.bytes + 32, flag << 31 | 5);
        bw_hmac_begin(&keys.hmac, &hash);
        SHA1_Update(&hash, wire.bytes, 36);
        bw_hmac_end(&keys.hmac, &hash, sum);
        memcpy(wire.bytes + 36, sum, 10);
        wire.length = 46;
        CHECK_EQ(bw_srtp_unprotect_rtcp(&keys, wire.bytes, &wire.length, &index), flag == 1);
        bw_srtp_keys_destroy(&keys);
    }
}

/* RFC 3711, B.2: 65282 blocks of key stream. Those after 0xFEFF show that the counter carries over. */
static void test_key_stream_is_that_of_rfc_3711_b_2(void) {
    static uint8_t packet[12 + 65282 * 16 + 16];
    static const struct {
        uint32_t block;
        const char *bytes;
    } expected[] = {{0, "E03EAD0935C95E80E166B16DD92B4EB4"},      {1, "D23513162B02D0F72A43A2FE4A5F97AB"},
                    {2, "41E95B3BB0A2E8DD477901E4FCA894C0"},      {0xFEFF, "EC8CDF7398607CB0F2D21675EA9EA1E4"},
                    {0xFF00, "362B7C3C6773516318A077D7FC5073AE"}, {0xFF01, "6A2CC3787889374FBEB4C81B17BA6C44"}};
    bw_srtp_keys keys = session_keys(false, "2B7E151628AED2A6ABF7158809CF4F3C", "F0F1F2F3F4F5F6F7F8F9FAFBFCFD0000");
    uint32_t length = 12 + 65282 * 16; /* zeros, with SSRC, roll-over counter and sequence number 0 */
    uint8_t block[16];
    CHECK(bw_srtp_protect_rtp(&keys, packet, 12, &length, 0));
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        CHECK_EQ(read_hex(expected[i].bytes, block), 16);
        CHECK_EQ(memcmp(packet + 12 + 16 * expected[i].block, block, 16), 0);
    }
    bw_srtp_keys_destroy(&keys);
}

static void test_session_keys_are_those_of_rfc_3711_b_3(void) {
    uint8_t master[30], expected[20];
    bw_srtp_keys keys;
    read_hex("E1F97A0D3E018BE0D64FA32C06DE4139 0EC675AD498AFEEBB6960B3AABE6", master);
    CHECK(bw_srtp_keys_init(&keys, BW_SRTP_RTP, BW_SRTP_AES128_CM_SHA1_80, master));
    CHECK_EQ(read_hex("30CBBC08863D8C85D49DB34A9AE1", expected), 14);
    CHECK_EQ(memcmp(keys.salt, expected, 14), 0);
    bw_hmac_key hmac;
    CHECK_EQ(read_hex("CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4", expected), 20);
    bw_hmac_set_key(&hmac, expected, 20);
    CHECK_EQ(memcmp(&keys.hmac, &hmac, sizeof hmac), 0);
    /* libcrypto does not tell the key of a cipher, so compare what it encrypts. */
    bw_srtp_keys same = session_keys(false, "C61E7A93744F39EE10734AFE3FF7A087", "30CBBC08863D8C85D49DB34A9AE1");
    same.hmac = hmac;
    srtp_packet plain = make_rtp(5, PACKET_SSRC, 0, -1, 100);
    srtp_packet a = protect_rtp(&keys, &plain, 5), b = protect_rtp(&same, &plain, 5);
    CHECK(is_same(&a, &b));
    bw_srtp_keys_destroy(&keys);
    bw_srtp_keys_destroy(&same);
}

/* ---- any packet */

/* The header stays readable, and the payload does not. */
static void check_rtp_is_restored(bw_srtp_keys *keys, const srtp_packet *plain, uint64_t index) {
    srtp_packet wire = protect_rtp(keys, plain, index);
    uint32_t payload_bytes = plain->length - plain->header_bytes;
    bw_rtp_packet parsed;
    CHECK_EQ(wire.length, plain->length + (keys->is_gcm ? 16 : 10));
    CHECK_EQ(memcmp(wire.bytes, plain->bytes, plain->header_bytes), 0);
    CHECK(payload_bytes < 16 ||
          memcmp(wire.bytes + plain->header_bytes, plain->bytes + plain->header_bytes, payload_bytes) != 0);
    CHECK(bw_rtp_parse_header(&parsed, wire.bytes, wire.length));
    CHECK_EQ(parsed.payload - wire.bytes, plain->header_bytes);
    CHECK(bw_srtp_unprotect_rtp(keys, wire.bytes, wire.header_bytes, &wire.length, index));
    CHECK(is_same(&wire, plain));
}

static void test_packets_with_any_header_and_payload_are_restored(void) {
    const uint64_t indexes[] = {0, 0xFFFF, 0x10000, 0xFFFFFFFFull, 0xFFFFFFFFFFFFull};
    for (int profile = 0; profile < PROFILES; profile++) {
        bw_srtp_keys keys = make_keys(BW_SRTP_RTP, profiles[profile]);
        for (uint32_t csrcs = 0; csrcs <= 15; csrcs += 5)
            for (int extension = -1; extension <= 50; extension += 3)
                for (uint32_t bytes = 0; bytes < 200; bytes += 7) {
                    srtp_packet plain = make_rtp(indexes[bytes % 5], PACKET_SSRC, csrcs, extension, bytes);
                    check_rtp_is_restored(&keys, &plain, indexes[bytes % 5]);
                }
        bw_srtp_keys_destroy(&keys);
    }
}

/* Covers SE10. */
static void test_rtp_with_any_bit_changed_is_refused(void) {
    for (int profile = 0; profile < PROFILES; profile++) {
        bw_srtp_keys keys = make_keys(BW_SRTP_RTP, profiles[profile]);
        srtp_packet plain = make_rtp(7, PACKET_SSRC, 2, 1, 40);
        srtp_packet wire = protect_rtp(&keys, &plain, 7);
        for (uint32_t bit = 0; bit < 8 * wire.length; bit++) {
            srtp_packet changed = wire;
            changed.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
            CHECK(!bw_srtp_unprotect_rtp(&keys, changed.bytes, changed.header_bytes, &changed.length, 7));
            CHECK_EQ(changed.length, wire.length);
        }
        for (int bit = 16; bit < 48; bit++) { /* nor with another roll-over counter */
            srtp_packet copy = wire;
            uint64_t index = 7 + ((uint64_t)1 << bit);
            CHECK(!bw_srtp_unprotect_rtp(&keys, copy.bytes, copy.header_bytes, &copy.length, index));
        }
        bw_srtp_keys_destroy(&keys);
    }
}

/* Covers SE10. */
static void test_rtcp_with_any_bit_changed_is_refused(void) {
    for (int profile = 0; profile < PROFILES; profile++) {
        bw_srtp_keys keys = make_keys(BW_SRTP_RTCP, profiles[profile]);
        srtp_packet plain = make_rtcp(PACKET_SSRC, 32);
        srtp_packet wire = protect_rtcp(&keys, &plain, 7);
        uint32_t index = 99;
        for (uint32_t bit = 0; bit < 8 * wire.length; bit++) { /* the E flag is one of them */
            srtp_packet changed = wire;
            changed.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
            CHECK(!bw_srtp_unprotect_rtcp(&keys, changed.bytes, &changed.length, &index));
            CHECK_EQ(changed.length, wire.length);
            CHECK_EQ(index, 99);
        }
        bw_srtp_keys_destroy(&keys);
    }
}

/* From memory of the exact size, so that the sanitizers notice an overread. */
static void test_truncated_packets_are_refused(void) {
    for (int profile = 0; profile < PROFILES; profile++) {
        bw_srtp_keys rtp = make_keys(BW_SRTP_RTP, profiles[profile]);
        bw_srtp_keys rtcp = make_keys(BW_SRTP_RTCP, profiles[profile]);
        srtp_packet plain = make_rtp(7, PACKET_SSRC, 1, 1, 20), report = make_rtcp(PACKET_SSRC, 8);
        srtp_packet wire = protect_rtp(&rtp, &plain, 7), wire_report = protect_rtcp(&rtcp, &report, 7);
        for (uint32_t bytes = plain.header_bytes; bytes < wire.length; bytes++) {
            uint8_t *exact = malloc(bytes);
            uint32_t length = bytes;
            memcpy(exact, wire.bytes, bytes);
            CHECK(!bw_srtp_unprotect_rtp(&rtp, exact, plain.header_bytes, &length, 7));
            free(exact);
        }
        for (uint32_t bytes = 0; bytes < wire_report.length; bytes++) {
            uint8_t *exact = malloc(bytes > 0 ? bytes : 1);
            uint32_t length = bytes, index;
            memcpy(exact, wire_report.bytes, bytes);
            CHECK(!bw_srtp_unprotect_rtcp(&rtcp, exact, &length, &index));
            free(exact);
        }
        bw_srtp_keys_destroy(&rtp);
        bw_srtp_keys_destroy(&rtcp);
    }
}

static void test_rtcp_of_any_length_and_index_is_restored(void) {
    const uint32_t indexes[] = {0, 1, 0xFFFF, 0x10000, 0x7FFFFFFF};
    for (int profile = 0; profile < PROFILES; profile++) {
        bw_srtp_keys keys = make_keys(BW_SRTP_RTCP, profiles[profile]);
        for (uint32_t bytes = 8; bytes <= 1400; bytes += 4) {
            srtp_packet plain = make_rtcp(bytes, bytes);
            srtp_packet wire = protect_rtcp(&keys, &plain, indexes[bytes / 4 % 5]);
            uint32_t index = 99;
            CHECK_EQ(wire.length, bytes + (keys.is_gcm ? 20 : 14));
            CHECK(bw_srtp_unprotect_rtcp(&keys, wire.bytes, &wire.length, &index));
            CHECK(is_same(&wire, &plain));
            CHECK_EQ(index, indexes[bytes / 4 % 5]);
        }
        bw_srtp_keys_destroy(&keys);
    }
}

/* A failed packet must leave nothing in the cipher that the next one meets. */
static void test_keys_work_after_a_refused_packet(void) {
    for (int profile = 0; profile < PROFILES; profile++) {
        bw_srtp_keys keys = make_keys(BW_SRTP_RTP, profiles[profile]);
        srtp_packet plain = make_rtp(7, PACKET_SSRC, 0, -1, 20);
        for (int i = 0; i < 5; i++) {
            srtp_packet forged = protect_rtp(&keys, &plain, 7);
            forged.bytes[forged.length - 1] ^= 1;
            CHECK(!bw_srtp_unprotect_rtp(&keys, forged.bytes, forged.header_bytes, &forged.length, 7));
            check_rtp_is_restored(&keys, &plain, 7);
        }
        bw_srtp_keys_destroy(&keys);
    }
}

static void test_rtp_and_rtcp_have_different_keys(void) {
    for (int profile = 0; profile < PROFILES; profile++) {
        bw_srtp_keys rtp = make_keys(BW_SRTP_RTP, profiles[profile]);
        bw_srtp_keys rtcp = make_keys(BW_SRTP_RTCP, profiles[profile]);
        srtp_packet plain = make_rtcp(PACKET_SSRC, 32);
        srtp_packet wire = protect_rtcp(&rtp, &plain, 1);
        uint32_t index;
        CHECK(!bw_srtp_unprotect_rtcp(&rtcp, wire.bytes, &wire.length, &index));
        bw_srtp_keys_destroy(&rtp);
        bw_srtp_keys_destroy(&rtcp);
    }
}

static void test_unknown_profile_is_refused(void) {
    const uint8_t master[30] = {0};
    bw_srtp_keys keys;
    CHECK(!bw_srtp_keys_init(&keys, BW_SRTP_RTP, 2, master));
}

int main(void) {
    RUN(test_rtp_is_protected_as_in_rfc_7714_16_1);
    RUN(test_rtcp_is_protected_as_in_rfc_7714_17_1);
    RUN(test_authentic_rtcp_that_is_not_encrypted_is_refused);
    RUN(test_key_stream_is_that_of_rfc_3711_b_2);
    RUN(test_session_keys_are_those_of_rfc_3711_b_3);
    RUN(test_packets_with_any_header_and_payload_are_restored);
    RUN(test_rtp_with_any_bit_changed_is_refused);
    RUN(test_rtcp_with_any_bit_changed_is_refused);
    RUN(test_truncated_packets_are_refused);
    RUN(test_rtcp_of_any_length_and_index_is_restored);
    RUN(test_keys_work_after_a_refused_packet);
    RUN(test_rtp_and_rtcp_have_different_keys);
    RUN(test_unknown_profile_is_refused);
    return 0;
}
