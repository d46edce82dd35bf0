/* SRTP and SRTCP of received packets, and SRTCP of the RTCP that Python sends, with libsrtp2. RTP: protect.c. */
#include "internal.h"

#include <string.h>

#define REPLAY_WINDOW_PACKETS 1024

static pthread_once_t srtp_initialised = PTHREAD_ONCE_INIT;
static srtp_err_status_t srtp_initialised_status;

static void init_library(void) { srtp_initialised_status = srtp_init(); }

static void initialise_srtp(void) { bw_keep_signals(init_library); }

srtp_t bw_srtp_session(uint32_t profile, const uint8_t *key, bool outgoing) {
    pthread_once(&srtp_initialised, initialise_srtp);
    srtp_policy_t policy = {0};
    srtp_profile_t number = (srtp_profile_t)profile;
    uint8_t key_and_salt[SRTP_MAX_KEY_LEN] = {0};
    srtp_t session = NULL;
    if (srtp_initialised_status != srtp_err_status_ok ||
        srtp_crypto_policy_set_from_profile_for_rtp(&policy.rtp, number) != srtp_err_status_ok ||
        srtp_crypto_policy_set_from_profile_for_rtcp(&policy.rtcp, number) != srtp_err_status_ok)
        return NULL;
    memcpy(key_and_salt, key, 30);
    policy.key = key_and_salt;
    policy.ssrc.type = outgoing ? ssrc_any_outbound : ssrc_any_inbound;
    policy.window_size = REPLAY_WINDOW_PACKETS;
    if (srtp_create(&session, &policy) != srtp_err_status_ok)
        session = NULL;
    memset(key_and_salt, 0, sizeof key_and_salt);
    return session;
}

/* ---- SRTCP of sent packets */

struct bw_srtcp {
    srtp_t srtp;
};

bw_srtcp *bw_srtcp_new(uint32_t srtp_profile, const uint8_t *local_key) {
    bw_srtcp *srtcp = calloc(1, sizeof *srtcp);
    if (srtcp == NULL)
        return NULL;
    srtcp->srtp = bw_srtp_session(srtp_profile, local_key, true);
    if (srtcp->srtp == NULL) {
        free(srtcp);
        return NULL;
    }
    return srtcp;
}

void bw_srtcp_free(bw_srtcp *srtcp) {
    if (srtcp == NULL)
        return;
    srtp_dealloc(srtcp->srtp);
    free(srtcp);
}

int bw_srtcp_protect(bw_srtcp *srtcp, uint8_t *packet, uint32_t length, uint32_t capacity) {
    int protected_length = (int)length;
    if (length < 8 || capacity < length + 32)
        return BW_ERROR_ARGUMENT;
    if (srtp_protect_rtcp(srtcp->srtp, packet, &protected_length) != srtp_err_status_ok)
        return BW_ERROR_SRTP;
    return protected_length;
}
