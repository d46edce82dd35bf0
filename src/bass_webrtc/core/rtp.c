/* Builds the RTP packet of a frame for one peer: its own header and, if enabled, redundant copies. */
#include "internal.h"

#include "byte_order.h"

#include <string.h>

#define RED_HEADER_BYTES 4
#define RED_MAX_BLOCK_BYTES 1023   /* 10-bit length field (RFC 2198, 3) */
#define RED_MAX_OFFSET_TICKS 16383 /* 14-bit offset field */
#define RED_MAX_LEVEL 2

const bw_frame *bw_frame_history_find(const bw_frame_history *history, uint32_t number) {
    const bw_frame *frame = &history->frames[number % BW_FRAME_HISTORY];
    return frame->number == number && frame->length > 0 ? frame : NULL;
}

/* Chooses the redundant copies of a packet, oldest first. Returns how many. */
static uint32_t choose_copies(const bw_frame_history *history, const bw_frame *frame, uint32_t level,
                              const bw_frame *copies[RED_MAX_LEVEL]) {
    uint32_t count = 0;
    uint32_t room = BW_MAX_RTP_BYTES - BW_RTP_HEADER_BYTES - BW_SRTP_MAX_RTP_TRAILER - 1 - frame->length;
    if (frame->length > RED_MAX_BLOCK_BYTES)
        return 0; /* A frame this large can never be sent as a copy, so it is sent without RED. */
    for (uint32_t age = 1; age <= level && age * history->frame_samples <= RED_MAX_OFFSET_TICKS; age++) {
        const bw_frame *copy = bw_frame_history_find(history, frame->number - age);
        if (copy == NULL || copy->length > RED_MAX_BLOCK_BYTES || (uint32_t)copy->length + RED_HEADER_BYTES > room)
            break;
        room -= copy->length + RED_HEADER_BYTES;
        copies[count++] = copy;
    }
    for (uint32_t i = 0; i < count / 2; i++) {
        const bw_frame *swap = copies[i];
        copies[i] = copies[count - 1 - i];
        copies[count - 1 - i] = swap;
    }
    return count;
}

/* Writes a RED payload (RFC 2198, 3): a four-byte header per copy, one byte for the primary frame, then the blocks. */
static uint32_t write_red(uint8_t *out, const bw_frame_history *history, const bw_frame *frame, uint8_t payload_type,
                          const bw_frame **copies, uint32_t count) {
    uint8_t *at = out;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t offset_ticks = (frame->number - copies[i]->number) * history->frame_samples;
        bw_write_u32(at, 0x80000000u | (uint32_t)payload_type << 24 | offset_ticks << 10 | copies[i]->length);
        at += RED_HEADER_BYTES;
    }
    *at++ = payload_type;
    for (uint32_t i = 0; i < count; i++) {
        memcpy(at, copies[i]->payload, copies[i]->length);
        at += copies[i]->length;
    }
    memcpy(at, frame->payload, frame->length);
    return (uint32_t)(at + frame->length - out);
}

uint32_t bw_rtp_write(const bw_outgoing *outgoing, const bw_frame_history *history, const bw_frame *frame,
                      uint16_t sequence, uint8_t redundancy, uint8_t *packet) {
    const bw_frame *copies[RED_MAX_LEVEL];
    uint32_t level = redundancy < RED_MAX_LEVEL ? redundancy : RED_MAX_LEVEL;
    uint32_t count = outgoing->red_payload_type ? choose_copies(history, frame, level, copies) : 0;
    uint8_t payload_type = count ? outgoing->red_payload_type : outgoing->payload_type;
    packet[0] = 0x80; /* version 2, no padding, no extension, no CSRC (RFC 3550, 5.1) */
    packet[1] = (uint8_t)(frame->marker << 7 | payload_type);
    bw_write_u16(packet + 2, sequence);
    bw_write_u32(packet + 4, outgoing->timestamp_offset + frame->number * history->frame_samples);
    bw_write_u32(packet + 8, outgoing->ssrc);
    uint8_t *payload = packet + BW_RTP_HEADER_BYTES;
    if (count)
        return BW_RTP_HEADER_BYTES + write_red(payload, history, frame, outgoing->payload_type, copies, count);
    memcpy(payload, frame->payload, frame->length);
    return BW_RTP_HEADER_BYTES + frame->length;
}
