/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * event.h: what goes up to the agent. The agent drains by a timer; only a filling ring wakes it (a wake-up per event costs a
 * quarter of the connection rate), and then by each CPU's every 64th event: a wake-up is an interrupt, 5 us in a virtual
 * machine, as much as the destruction of a connection. A full ring loses the event and counts it.
 */
#ifndef POSTERN_EVENT_H
#define POSTERN_EVENT_H

#include "address.h"

#define WAKE_BYTES (256 * 1024)
#define WAKE_EVENTS 64

static __always_inline void header_init_at(struct event_header *h, __u8 type, __u16 length, __u64 time_ns)
{
	h->type = type;
	h->version = POSTERN_ABI_VERSION;
	h->length = length;
	h->pad = 0;
	h->time_ns = time_ns;
	count(COUNT_EVENT);
}

static __always_inline void header_init(struct event_header *h, __u8 type, __u16 length)
{
	header_init_at(h, type, length, bpf_ktime_get_ns());
}

static __always_inline struct flow_event *flow_begin_at(__u8 kind, __u64 time_ns)
{
	struct flow_event *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);

	if (!e) {
		count(COUNT_EVENT_LOST);
		return NULL;
	}
	__builtin_memset(e, 0, sizeof(*e));
	header_init_at(&e->header, EVENT_FLOW, sizeof(*e), time_ns);
	e->kind = kind;
	return e;
}

static __always_inline struct flow_event *flow_begin(__u8 kind)
{
	return flow_begin_at(kind, bpf_ktime_get_ns());
}

static __always_inline bool wakes_agent(void)
{
	__u32 which = COUNT_EVENT;
	__u64 *begun = bpf_map_lookup_elem(&counters, &which);

	return begun && *begun % WAKE_EVENTS == 0 && bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) > WAKE_BYTES;
}

static __always_inline void event_submit(void *event)
{
	bpf_ringbuf_submit(event, wakes_agent() ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP);
}

#endif
