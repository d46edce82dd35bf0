/*
 * Taps: copies of the Opus packets of a peer or channel for a recorder (core.h).
 *
 *   network thread, channel's thread ─► ring of the tap ─► recorder thread
 *
 * A tap is in the list of what it listens to. Only that thread follows and changes the list. It takes a closed tap out of
 * the list with the next packet, and does not touch it after that.
 */
#ifndef BW_TAP_H
#define BW_TAP_H

#include "channel.h"
#include "incoming.h"

/* Network thread or channel's thread, all functions. */

/* Adds a tap to the list of a peer or channel, which is NULL while it is empty. */
void bw_taps_add(bw_tap **taps, bw_tap *tap);
/* Empties the list: the peer or channel has ended. */
void bw_taps_release(bw_tap **taps);
/* Copies what an authentic RTP packet of a negotiated payload type contains (unprotected). */
void bw_taps_take_rtp(bw_tap **taps, const bw_incoming *incoming, const uint8_t *data, uint32_t length, int64_t now_ns);
/* Copies the frame with this number from the channel's first encoding. */
void bw_taps_take_frame(bw_channel *channel, int64_t number);

#endif
