#include "rtp_stream.h"

#include <stdlib.h>
#include <string.h>

/* A timestamp this far from the clock belongs to another timeline: the sender restarted or was suspended. */
#define MAX_DISAGREEMENT_NS 3000000000LL

void bw_rtp_stream_reset(bw_rtp_stream *stream) { memset(stream, 0, sizeof *stream); }

/* Returns whether the media time between two packets matches the time between their arrivals. */
static bool times_agree(uint32_t timestamp, int64_t arrival_ns, uint32_t earlier, int64_t earlier_ns) {
    int64_t media_ns = (int64_t)(int32_t)(timestamp - earlier) * 62500 / 3;
    return llabs(arrival_ns - earlier_ns - media_ns) < MAX_DISAGREEMENT_NS;
}

static bool fits(const bw_rtp_stream *stream, const bw_rtp_packet *packet, int64_t arrival_ns) {
    return stream->started && packet->ssrc == stream->ssrc &&
           times_agree(packet->timestamp, arrival_ns, (uint32_t)stream->timestamp, stream->arrival_ns);
}

static bool fits_candidate(const bw_rtp_stream *stream, const bw_rtp_packet *packet, int64_t arrival_ns) {
    const bw_rtp_candidate *candidate = &stream->candidate;
    return candidate->known && packet->ssrc == candidate->ssrc && packet->sequence != candidate->sequence &&
           times_agree(packet->timestamp, arrival_ns, candidate->timestamp, candidate->arrival_ns);
}

static void start(bw_rtp_stream *stream, const bw_rtp_packet *packet) {
    stream->started = true;
    stream->ssrc = packet->ssrc;
    stream->sequence = packet->sequence;
    stream->timestamp = packet->timestamp;
    stream->seen = 1;
}

bool bw_rtp_stream_has_seen(const bw_rtp_stream *stream, int64_t sequence) {
    int64_t age = stream->sequence - sequence;
    return age >= 0 && age < BW_RTP_STREAM_WINDOW && stream->seen >> age & 1;
}

/* Returns false for a duplicate. */
static bool mark_seen(bw_rtp_stream *stream, int64_t sequence) {
    int64_t ahead = sequence - stream->sequence;
    if (ahead > 0) {
        stream->seen = ahead < BW_RTP_STREAM_WINDOW ? stream->seen << ahead | 1 : 1;
        stream->sequence = sequence;
        return true;
    }
    if (bw_rtp_stream_has_seen(stream, sequence))
        return false;
    if (-ahead < BW_RTP_STREAM_WINDOW)
        stream->seen |= 1ULL << -ahead;
    return true;
}

bw_stream_result bw_rtp_stream_take(bw_rtp_stream *stream, const bw_rtp_packet *packet, int64_t arrival_ns,
                                    int64_t *sequence, int64_t *timestamp) {
    bw_stream_result result = BW_STREAM_NEXT;
    if (!fits(stream, packet, arrival_ns)) {
        if (stream->started && !fits_candidate(stream, packet, arrival_ns)) {
            stream->candidate = (bw_rtp_candidate){true, packet->ssrc, packet->sequence, packet->timestamp, arrival_ns};
            return BW_STREAM_UNRELATED;
        }
        start(stream, packet);
        result = BW_STREAM_FIRST;
    }
    stream->candidate.known = false;
    *sequence = stream->sequence + (int16_t)(packet->sequence - (uint16_t)stream->sequence);
    *timestamp = stream->timestamp + (int32_t)(packet->timestamp - (uint32_t)stream->timestamp);
    if (result == BW_STREAM_NEXT && !mark_seen(stream, *sequence))
        return BW_STREAM_DUPLICATE;
    stream->timestamp = *timestamp;
    stream->arrival_ns = arrival_ns;
    return result;
}
