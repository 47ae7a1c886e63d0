/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * connection.h: what is known of a TCP connection, by the cookie of its socket.
 *
 *  1. Cookies are given out one after the other, so the slot `cookie % CONNECTION_SLOTS` is free for nearly every new
 *     connection, and its memory is warm: no allocation, no lock, no free that RCU defers. Those cost 3 % of the connection rate.
 *  2. A slot belongs to the cookie in it, from a compare-and-swap until the connection ends. Who finds it taken goes to the
 *     hash `connection`, and leaves a mark there (`spilled`): without one nobody looks into the hash.
 *  3. Whoever writes or reads an entry holds its socket, or comes by a packet of it: a slot is not given away meanwhile.
 */
#ifndef POSTERN_CONNECTION_H
#define POSTERN_CONNECTION_H

#include "maps.h"

static __always_inline struct connection_slot *connection_slot_of(__u64 cookie)
{
	__u32 index = cookie & (CONNECTION_SLOTS - 1);

	return bpf_map_lookup_elem(&connection_slot, &index);
}

/* NULL = none is known, or `cookie` is none. */
static __always_inline struct connection *connection_find(__u64 cookie)
{
	struct connection_slot *slot = connection_slot_of(cookie);

	if (!slot || !cookie)
		return NULL;
	if (slot->cookie == cookie)
		return &slot->c;
	return slot->spilled ? bpf_map_lookup_elem(&connection, &cookie) : NULL;
}

/* Enters it, or replaces what was. -1 = no room. */
static __always_inline int connection_put(__u64 cookie, const struct connection *c)
{
	struct connection_slot *slot = connection_slot_of(cookie);
	struct connection *known = NULL;

	if (!slot || !cookie)
		return -1;
	if (slot->spilled && slot->cookie != cookie)
		known = bpf_map_lookup_elem(&connection, &cookie);
	if (known) {
		*known = *c;
		return 0;
	}
	if (slot->cookie == cookie || !__sync_val_compare_and_swap(&slot->cookie, 0, cookie)) {
		slot->c = *c;
		return 0;
	}
	__sync_fetch_and_add(&slot->spilled, 1);
	if (!bpf_map_update_elem(&connection, &cookie, c, BPF_ANY))
		return 0;
	__sync_fetch_and_add(&slot->spilled, -1);
	return -1;
}

/* `latest` until it is established: its receiver on this host admits it by this rule, under this generation. 0 = not known. */
static __always_inline __u64 admission(__u32 gen, __u32 rule)
{
	return gen ? (__u64)gen << 32 | rule : 0;
}

static __always_inline void connection_drop(__u64 cookie)
{
	struct connection_slot *slot = connection_slot_of(cookie);

	if (!slot || !cookie)
		return;
	if (slot->cookie == cookie)
		slot->cookie = 0;
	else if (slot->spilled && !bpf_map_delete_elem(&connection, &cookie))
		__sync_fetch_and_add(&slot->spilled, -1);
}

#endif
