/* Conversion between bw_address and socket addresses, comparison, and a hash. Any thread. */
#include "internal.h"

#include <string.h>

socklen_t bw_address_to_sockaddr(const bw_address *address, struct sockaddr_storage *out) {
    memset(out, 0, sizeof *out);
    if (address->family == 4) {
        struct sockaddr_in *in4 = (struct sockaddr_in *)out;
        in4->sin_family = AF_INET;
        in4->sin_port = htons(address->port);
        memcpy(&in4->sin_addr, address->ip, 4);
        return sizeof *in4;
    }
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(address->port);
    in6->sin6_scope_id = address->scope_id;
    memcpy(&in6->sin6_addr, address->ip, 16);
    return sizeof *in6;
}

bool bw_address_from_sockaddr(const struct sockaddr_storage *in, bw_address *out) {
    memset(out, 0, sizeof *out);
    if (in->ss_family == AF_INET) {
        const struct sockaddr_in *in4 = (const struct sockaddr_in *)in;
        out->family = 4;
        out->port = ntohs(in4->sin_port);
        memcpy(out->ip, &in4->sin_addr, 4);
        return true;
    }
    if (in->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)in;
        out->family = 6;
        out->port = ntohs(in6->sin6_port);
        out->scope_id = in6->sin6_scope_id;
        memcpy(out->ip, &in6->sin6_addr, 16);
        return true;
    }
    return false;
}

bool bw_address_equal(const bw_address *a, const bw_address *b) {
    return a->family == b->family && a->port == b->port && a->scope_id == b->scope_id &&
           memcmp(a->ip, b->ip, sizeof a->ip) == 0;
}

uint32_t bw_address_hash(uint32_t socket, const bw_address *address) {
    uint32_t hash = 2166136261u ^ socket; /* FNV-1a */
    uint32_t bytes = address->family == 4 ? 4 : 16;
    for (uint32_t i = 0; i < bytes; i++)
        hash = (hash ^ address->ip[i]) * 16777619u;
    hash = (hash ^ (address->port & 0xFF)) * 16777619u;
    hash = (hash ^ (address->port >> 8)) * 16777619u;
    return hash ^ hash >> 15;
}
