/*
 * A fan-out sends the frames of one channel to its share of the listeners. A channel's first fan-out is part of the
 * channel's thread; each further one has a thread of its own, which the channel's thread wakes with each frame. A
 * listener belongs to one fan-out at a time, so fan-outs share nothing that they write but counters.
 */
#ifndef BW_FAN_OUT_H
#define BW_FAN_OUT_H

#include "channel.h"

typedef enum {
    BW_FAN_OUT_ADD,            /* pointer: bw_outgoing */
    BW_FAN_OUT_TAKE,           /* returns the bw_outgoing with BW_NOTICE_PEER_TAKEN */
    BW_FAN_OUT_REMOVE,         /* returns it with BW_EVENT_PEER_REMOVED */
    BW_FAN_OUT_SET_PATH,       /* path */
    BW_FAN_OUT_SET_ENCODING,   /* value */
    BW_FAN_OUT_SET_REDUNDANCY, /* value */
    BW_FAN_OUT_PROBE,          /* value: copies, frames in the upper 16 bits */
    BW_FAN_OUT_RESEND,         /* value: sequence number */
    BW_FAN_OUT_REMOVE_SOCKET,  /* value: index; path: descriptor */
} bw_fan_out_command_kind;

typedef struct {
    bw_fan_out_command_kind kind;
    uint32_t peer;
    uint32_t value;
    void *pointer;
    bw_path path;
} bw_fan_out_command;

struct bw_fan_out {
    bw_channel *channel;
    pthread_t thread;
    uint32_t peers;        /* loop only: how many it was given */
    bw_wake wake;          /* signaled with each frame and at the end, unless it is the channel's first */
    bw_ring commands;      /* loop → fan-out */
    bw_ring notices;       /* fan-out → loop */
    bw_outgoing **by_peer; /* by slot; NULL: no such peer */
    bw_outgoing **active;  /* the same peers, densely packed */
    uint32_t active_count;
    int64_t next_number; /* of the next frame to send */
    struct bw_batch *batch;
};

/* Sets the path of a state that no thread uses. */
void bw_outgoing_set_path(bw_outgoing *outgoing, const bw_path *path);

/* Loop thread, all four. A fan-out with a thread runs from then on. Returns NULL when out of memory, or if the thread
 * could not be created. */
bw_fan_out *bw_fan_out_new(bw_channel *channel, bool has_thread);
/* After the channel's thread has ended. */
void bw_fan_out_free(bw_fan_out *fan_out);
/* Returns BW_ERROR_BUSY when too many commands wait; there is always room to add, take and remove a peer. */
int bw_fan_out_command_to(bw_fan_out *fan_out, bw_fan_out_command command);
void bw_outgoing_free(bw_outgoing *outgoing);

/* The fan-out's thread, both. */
void bw_fan_out_take_commands(bw_fan_out *fan_out);
/* Sends the frames up to the one that was published last. */
void bw_fan_out_send(bw_fan_out *fan_out);

#endif
