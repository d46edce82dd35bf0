#include "srtp_receiver.h"

#include "byte_order.h"
#include "core.h"

#include <stdlib.h>
#include <string.h>

#define HALF_RANGE 0x8000 /* of sequence numbers */

/* ---- streams */

static bw_srtp_stream *find_stream(const bw_srtp_streams *streams, uint32_t ssrc) {
    for (uint32_t i = 0; i < streams->count; i++) {
        if (streams->streams[i].ssrc == ssrc)
            return &streams->streams[i];
    }
    return NULL;
}

const bw_srtp_stream *bw_srtp_find_stream(const bw_srtp_streams *streams, uint32_t ssrc) {
    return find_stream(streams, ssrc);
}

/* Most peers have one stream, so each further one moves the others. Returns NULL when out of memory. */
static bw_srtp_stream *add_stream(bw_srtp_streams *streams, uint32_t ssrc, uint64_t index) {
    bw_srtp_stream *grown = realloc(streams->streams, (streams->count + 1) * sizeof *grown);
    if (grown == NULL)
        return NULL;
    streams->streams = grown;
    grown[streams->count] = (bw_srtp_stream){.ssrc = ssrc, .highest = index};
    return &grown[streams->count++];
}

void bw_srtp_streams_destroy(bw_srtp_streams *streams) {
    free(streams->streams);
    *streams = (bw_srtp_streams){0};
}

/* ---- replay (RFC 3711, 3.3.2) */

static uint64_t *find_word(bw_srtp_stream *stream, uint64_t index) {
    return &stream->seen[index % BW_REPLAY_WINDOW / 64];
}

static uint64_t bit_of(uint64_t index) { return (uint64_t)1 << index % 64; }

static bool is_replayed(bw_srtp_stream *stream, uint64_t index) {
    if (index > stream->highest)
        return false;
    return stream->highest - index >= BW_REPLAY_WINDOW || (*find_word(stream, index) & bit_of(index)) != 0;
}

static void note(bw_srtp_stream *stream, uint64_t index) {
    if (index > stream->highest && index - stream->highest >= BW_REPLAY_WINDOW)
        memset(stream->seen, 0, sizeof stream->seen);
    else
        for (uint64_t skipped = stream->highest + 1; skipped < index; skipped++)
            *find_word(stream, skipped) &= ~bit_of(skipped);
    *find_word(stream, index) |= bit_of(index);
    stream->highest = index > stream->highest ? index : stream->highest;
}

/* A new stream is created only now that its first packet is authentic. */
static bool note_received(bw_srtp_streams *streams, bw_srtp_stream *stream, uint32_t ssrc, uint64_t index) {
    if (stream == NULL && (stream = add_stream(streams, ssrc, index)) == NULL)
        return false;
    note(stream, index);
    return true;
}

/* ---- packets */

/* RFC 3711, appendix A, but there is nothing before roll-over counter 0. */
static uint64_t estimate_index(uint64_t highest, uint16_t sequence) {
    int32_t step = sequence - (int32_t)(highest & 0xFFFF);
    uint64_t rollover = highest >> 16;
    if (step > HALF_RANGE && rollover > 0)
        rollover--;
    else if (step < -HALF_RANGE)
        rollover++;
    return rollover << 16 | sequence;
}

bool bw_srtp_receive_rtp(bw_srtp_streams *streams, bw_srtp_keys *keys, uint8_t *packet, uint32_t header_bytes,
                         uint32_t *length) {
    uint32_t ssrc = bw_read_u32(packet + 8);
    uint16_t sequence = (uint16_t)(packet[2] << 8 | packet[3]);
    bw_srtp_stream *stream = find_stream(streams, ssrc);
    uint64_t index = stream != NULL ? estimate_index(stream->highest, sequence) : sequence;
    if (stream != NULL ? is_replayed(stream, index) : streams->count == BW_MAX_SSRCS)
        return false;
    return bw_srtp_unprotect_rtp(keys, packet, header_bytes, length, index) &&
           note_received(streams, stream, ssrc, index);
}

bool bw_srtp_receive_rtcp(bw_srtp_streams *streams, bw_srtp_keys *keys, uint8_t *packet, uint32_t *length) {
    uint32_t index;
    if (!bw_srtp_unprotect_rtcp(keys, packet, length, &index))
        return false;
    uint32_t ssrc = bw_read_u32(packet + 4);
    bw_srtp_stream *stream = find_stream(streams, ssrc);
    if (stream != NULL ? is_replayed(stream, index) : streams->count == BW_MAX_SSRCS)
        return false;
    return note_received(streams, stream, ssrc, index);
}
