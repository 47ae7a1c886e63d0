/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * packet.bpf.c: the net under the socket hooks. Both judge by the socket, never by parsed L4 headers (bypass rules 1 and 2).
 *   ingress: stream and not listening → pass (judged at connect or at its SYN); listening → judge every packet;
 *            all else (datagram, raw, ping) → a conversation that is allowed, else judge by the fixed header's source;
 *            ICMP by its type, see icmp.h
 *   egress:  listening → pass (the SYN was judged); stream to its own peer → pass, a SYN only under the policy of its connect();
 *            all else judge the destination
 * A stream that connect() denied in silence (SK_LOST) sends nothing, and nothing reaches it: not even a SYN that would open it.
 */
#include "other.h"
#include "icmp.h"

/* Of an egress hook: to a datagram's sender it was sent. A SYN must not be dropped so: TCP would try it for ever. */
#define DROP_SILENTLY 2

static __always_inline __u32 sk_identity(struct bpf_sock *sk, const struct connection *c)
{
	if (c)
		return c->local_id;
	count(COUNT_NO_STORAGE);
	return cgroup_identity(bpf_sk_cgroup_id(sk));
}

/* Every socket that a process holds has its storage. */
static __always_inline bool is_backfilled(void)
{
	struct config *c = config_get();

	return c && c->round;
}

/* TCP_SYN alone where they cannot be read. */
static __always_inline __u8 tcp_flags(struct __sk_buff *skb, __u32 l4)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	__u8 flags;

	if (l4 == 20 && data + 20 + TCP_FLAGS + 1 <= end)
		return *(__u8 *)(data + 20 + TCP_FLAGS);
	return bpf_skb_load_bytes(skb, l4 + TCP_FLAGS, &flags, 1) ? TCP_SYN : flags;
}

static __always_inline int ingress_listener(struct __sk_buff *skb, struct bpf_sock *sk, struct connection *c, __u32 id,
					    struct ident_cfg cfg)
{
	bool loopback = skb->ifindex == LOOPBACK_IFINDEX;
	__u16 ports[2] = {}, sport, port = sk->src_port;
	__u64 netns = c ? c->netns : 0;
	__u32 l4 = 0, zero = 0, meant = 0;
	struct connection *began = NULL;
	struct handshake *h;
	struct addr src, dst;
	struct peer p = {};
	struct judged j;
	bool parsed;

	if (packet_addrs(skb, &src, &dst)) {
		count(COUNT_UNPARSED);
		return 0;
	}
	parsed = packet_ports(skb, IPPROTO_TCP, ports, &l4) == 0;
	sport = bpf_ntohs(ports[0]);
	h = bpf_map_lookup_elem(&handshake, &zero);
	if (!h)
		return 0;
	/* the third packet of a handshake whose first was let through under this generation; a SYN may be another socket's */
	if (parsed && h->gen == cfg.gen && h->local_id == id && h->netns == netns && h->sport == sport && h->dport == port &&
	    addr_equal((struct addr *)h->saddr, &src) && addr_equal((struct addr *)h->daddr, &dst) &&
	    (tcp_flags(skb, l4) & (TCP_SYN | TCP_ACK)) != TCP_SYN)
		return 1;
	if (loopback) {
		began = own_syn_of(netns, &src, &dst, sport, port);
		if (began) {
			p.id = began->local_id ?: RESERVED_HOST;
			p.tgid = began->tgid;
			p.local = true;
			meant = began->remote_id;
		} else {
			p = sender(skb, &src, &dst, sport, port, true, &meant);
		}
	} else {
		p.id = address_identity(&src, cfg.ip_slot);
	}
	if (began && meant == (id ?: RESERVED_HOST) && is_admitted(began, cfg.gen, &j.rule)) {
		j.gen = cfg.gen;
		j.allow = 1;
		j.audit = j.reason = j.denial = 0;
		j.direction = DIR_INGRESS;
	} else {
		j = judge(cfg, id, p.id, DIR_INGRESS, IPPROTO_TCP, port);
		if (loopback && meant != (id ?: RESERVED_HOST))
			judge_other(&j, &p, id, DIR_EGRESS, IPPROTO_TCP, port);
	}
	if (j.reason)
		packet_report(j.allow ? FLOW_AUDIT : FLOW_DENY, &j, p.id, p.tgid, id, c ? c->tgid : 0, &src, &dst, sport,
			      port, IPPROTO_TCP, netns);
	if (!j.allow)
		return 0;
	if (!parsed || !c)
		return 1;
	__builtin_memcpy(h->saddr, &src, 16);
	__builtin_memcpy(h->daddr, &dst, 16);
	h->netns = netns;
	h->sport = sport;
	h->dport = port;
	h->local_id = id;
	h->remote_id = p.id;
	h->rule = j.audit ? 0 : j.rule;
	h->gen = j.gen;
	h->tgid = c->tgid;
	h->peer_tgid = p.tgid;
	h->flags = (c->flags & (SK_FAILSAFE | SK_PINNED)) | (p.local ? SK_REMOTE_LOCAL : 0);
	h->origin = c->origin;
	return 1;
}

/* Will the packet's receiver find this socket by the packet's source? Not if it is bound to an interface or names another source. */
static __always_inline bool is_found_at(struct bpf_sock *sk, const struct addr *src)
{
	struct addr own;

	if (sk->bound_dev_if)
		return false;
	own = source_of(sk);
	return addr_unspecified(&own) || addr_equal(&own, src);
}

/* packet_addrs(), as a function of its own to the verifier: after it, all headers are the same path. */
__noinline int datagram_addrs(struct __sk_buff *skb, struct addr *src, struct addr *dst)
{
	return src && dst ? packet_addrs(skb, src, dst) : -1;
}

static __always_inline int datagram(struct __sk_buff *skb, struct bpf_sock *sk, struct sk_info *info, __u32 id,
				    struct ident_cfg cfg, bool ingress)
{
	bool udp = sk->protocol == IPPROTO_UDP || sk->protocol == IPPROTO_UDPLITE;
	bool unseen = false;
	__u8 protocol = sk->protocol;
	struct conv_key key = {};
	struct conv_val *known, fresh = {};
	struct addr src = {}, dst = {};
	struct peer p = {};
	struct judged j;
	__u16 ports[2] = {}, sport = 0, dport = 0, at, asked;
	__u8 own = ingress ? DIR_INGRESS : DIR_EGRESS, other = ingress ? DIR_EGRESS : DIR_INGRESS;
	__u64 netns = info ? info->c.netns : 0;
	__u32 tgid = info ? info->c.tgid : 0, l4 = 0, meant;
	bool answers = false;
	__u64 word;

	if (datagram_addrs(skb, &src, &dst)) {
		count(COUNT_UNPARSED);
		return 0;
	}
	if (!ingress && sk->type == SOCK_RAW && packet_protocol(skb) != protocol) {
		/* its own header (IP_HDRINCL) says something else, or extension headers hide what: only a rule without ports allows it */
		protocol = IPPROTO_RAW;
		udp = false;
	}
	if (udp) {
		if (packet_ports(skb, protocol, ports, &l4) == 0) {
			sport = bpf_ntohs(ports[0]);
			dport = bpf_ntohs(ports[1]);
		} else if (ingress) { /* extension headers: the socket still knows its own port */
			dport = sk->src_port;
		}
	}
	/* what this packet is judged by, and the question that it may be the answer to */
	at = dport;
	asked = sport;
	key.protocol = protocol;
	key.port = ingress ? sport : dport;
	if (is_icmp(protocol)) {
		at = dport = icmp_type(skb, protocol, &sport); /* reported as type and code */
		asked = icmp_request(protocol, at);
		answers = at != asked;
		key.port = icmp_conversation(asked, answers ? other : own);
	}
	if (!ingress && udp && skb->ifindex == LOOPBACK_IFINDEX)
		unseen = !is_found_at(sk, &src);
	word = protocol == IPPROTO_RAW ? 0 : conv_word(ingress ? &src : &dst, key.port, cfg.gen);
	if (info && conv_is_latest(&info->c, word, cfg.gen) && !unseen)
		return 1;
	key.cookie = bpf_get_socket_cookie(skb);
	__builtin_memcpy(key.addr, ingress ? &src : &dst, 16);
	known = bpf_map_lookup_elem(&conversation, &key);
	if (known && known->gen == cfg.gen && !unseen) {
		if (known->untold && !ingress) { /* begun by sendmsg or connect; now the ports are final */
			known->untold = 0;
			j = (struct judged){.rule = known->rule, .gen = known->rule_gen, .direction = DIR_EGRESS, .denial = known->both};
			packet_report(FLOW_EXCHANGE, &j, id, tgid, known->remote_id, 0, &src, &dst, sport, dport, protocol,
				      netns);
		}
		if (info)
			conv_remember(&info->c, word, cfg.gen);
		return 1;
	}
	if (known && known->direction == other) {
		/* an answer under an older generation: the question must still be allowed, to whoever has that address now */
		__u32 remote = from_here(skb) ? known->remote_id : address_identity(ingress ? &src : &dst, cfg.ip_slot);

		if (judge(cfg, id, remote, other, protocol, asked).allow) {
			known->gen = cfg.gen;
			return 1;
		}
	}
	if (answers) { /* to nothing that was asked, or may be: a message of its own */
		key.port = icmp_conversation(at, own);
		known = bpf_map_lookup_elem(&conversation, &key);
		if (known && known->gen == cfg.gen)
			return 1;
	}
	if (ingress) {
		if (!from_here(skb))
			p.id = address_identity(&src, cfg.ip_slot);
		else if (udp)
			p = sender(skb, &src, &dst, sport, dport, false, &meant);
		else
			p.id = RESERVED_HOST;
		j = judge(cfg, id, p.id, DIR_INGRESS, protocol, at);
		if (p.local)
			judge_other(&j, &p, id, DIR_EGRESS, protocol, at);
	} else {
		p = unseen ? sender(skb, &dst, &src, dport, sport, false, &meant) : peer_at(netns, &dst, protocol, dport, cfg.ip_slot);
		j = judge(cfg, id, p.id, DIR_EGRESS, protocol, at);
		if (unseen)
			judge_other(&j, &p, id, DIR_INGRESS, protocol, at);
	}
	if (j.reason) {
		if (ingress)
			packet_report(j.allow ? FLOW_AUDIT : FLOW_DENY, &j, p.id, p.tgid, id, tgid, &src, &dst, sport, dport,
				      protocol, netns);
		else
			packet_report(j.allow ? FLOW_AUDIT : FLOW_DENY, &j, id, tgid, p.id, p.tgid, &src, &dst, sport, dport,
				      protocol, netns);
	}
	if (!j.allow)
		return !ingress && j.denial == POLICY_TIMEOUT ? DROP_SILENTLY : 0;
	if (known) {
		known->gen = cfg.gen;
		if (!known->untold || ingress)
			return 1;
		/* a flip came between sendmsg and its packet: told as it is judged now */
	}
	fresh.gen = cfg.gen;
	fresh.remote_id = p.id;
	fresh.rule = j.audit ? 0 : j.rule;
	fresh.rule_gen = j.gen;
	fresh.direction = own;
	bpf_map_update_elem(&conversation, &key, &fresh, BPF_ANY);
	if (!j.reason) {
		if (ingress)
			packet_report(FLOW_EXCHANGE, &j, p.id, p.tgid, id, tgid, &src, &dst, sport, dport, protocol, netns);
		else
			packet_report(FLOW_EXCHANGE, &j, id, tgid, p.id, p.tgid, &src, &dst, sport, dport, protocol, netns);
	}
	return 1;
}

/*
 * The kernel answers an ICMP request without a socket that could be judged when it comes in: the answer is judged when it
 * goes out, by whether the request may come in. Discovery and errors are ahead of policy.
 */
static __always_inline bool host_answers(struct __sk_buff *skb, __u8 protocol, struct ident_cfg cfg)
{
	__u16 code = 0, type = icmp_type(skb, protocol, &code), asked = icmp_request(protocol, type);
	struct addr src, dst;
	struct judged j;
	__u32 from;

	if (type == asked || skb->ifindex == LOOPBACK_IFINDEX || packet_addrs(skb, &src, &dst))
		return true;
	from = address_identity(&dst, cfg.ip_slot);
	j = judge(cfg, 0, from, DIR_INGRESS, protocol, asked);
	if (j.reason)
		packet_report(j.allow ? FLOW_AUDIT : FLOW_DENY, &j, from, 0, 0, 0, &dst, &src, code, asked, protocol, 0);
	return j.allow;
}

static __always_inline bool is_lost(struct __sk_buff *skb, struct bpf_sock *sk)
{
	__u64 cookie = bpf_get_socket_cookie(skb);
	struct connection *c = connection_find(cookie);

	if (!c) {
		struct sk_info *info = bpf_sk_storage_get(&sk_info, sk, 0, 0);

		c = info ? &info->c : NULL;
	}
	return c && (c->flags & SK_LOST);
}

SEC("cgroup_skb/ingress")
int on_ingress(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;
	struct ident_cfg cfg;
	struct connection *c;
	struct sk_info *info;
	__u32 id;

	if (!sk)
		return 1;
	sk = bpf_sk_fullsock(sk);
	if (!sk)
		return 1;
	/*
	 * one test for an established packet: of all states these two alone are the same without this bit. What is older than the
	 * policy is ended if it is TCP's; of SCTP each packet is judged.
	 */
	if (sk->type == SOCK_STREAM && (sk->state & ~(TCP_LISTEN ^ TCP_SYN_SENT)) != TCP_SYN_SENT && sk->protocol == IPPROTO_TCP)
		return 1;
	if (sk->type == SOCK_STREAM && sk->state == TCP_SYN_SENT)
		return !is_lost(skb, sk);
	info = bpf_sk_storage_get(&sk_info, sk, 0, 0);
	if (!info && sk->type == SOCK_RAW && is_backfilled())
		return 0; /* it is being made: hashed, not labelled yet */
	c = info ? &info->c : NULL;
	if (!c && sk->type == SOCK_STREAM)
		c = connection_find(bpf_get_socket_cookie(skb)); /* see on_listen */
	id = sk_identity(sk, c);
	if (info && (info->c.flags & SK_FAILSAFE)) {
		if (sk->type != SOCK_STREAM || skb->ifindex != LOOPBACK_IFINDEX)
			return 1;
		cfg = (struct ident_cfg){}; /* not judged; who connects is noted for the accepted socket */
	} else {
		cfg = ident_cfg_read(id);
		if (!c && !id)
			cfg.flags = 0; /* a socket of the kernel itself */
	}
	if (sk->type == SOCK_STREAM)
		return ingress_listener(skb, sk, c, id, cfg);
	return datagram(skb, sk, info, id, cfg, true);
}

/*
 * A socket that sock_create_kern() made: no process can hold it. Only such a socket holds no reference to its network namespace,
 * whatever became of it since. For the verifier it is no `struct sock`, hence the copy of its first bytes.
 */
static __always_inline bool made_by_kernel(struct bpf_sock *sk)
{
	const struct sock_common *skc = NULL;
	__u32 at = __CORE_RELO(skc, skc_net_refcnt, BYTE_OFFSET);
	__u8 head[48];
	__u64 bits;

	if (at > sizeof(head) - sizeof(bits) || bpf_probe_read_kernel(head, sizeof(head), sk))
		return false;
	__builtin_memcpy(&bits, head + at, sizeof(bits));
	return !(bits << __CORE_RELO(skc, skc_net_refcnt, LSHIFT_U64) >> __CORE_RELO(skc, skc_net_refcnt, RSHIFT_U64));
}

enum unowned { UNOWNED_DROP, UNOWNED_PASS, UNOWNED_HOST, UNOWNED_WORKLOAD };

/*
 * A packet of a socket without storage that is, by its cgroup, of `id`: the kernel's own, if nobody's. What a network namespace
 * says by itself (discovery, errors) is the kernel's too, by a raw socket of the cgroup of who made the namespace.
 */
__noinline int unowned(struct __sk_buff *skb, __u32 id)
{
	struct bpf_sock *sk = skb->sk;
	struct ident_cfg cfg;
	__u16 code = 0;

	if (!sk)
		return UNOWNED_PASS;
	sk = bpf_sk_fullsock(sk);
	if (!sk)
		return UNOWNED_PASS;
	if (id && (sk->type != SOCK_RAW || !is_icmp(sk->protocol) || !made_by_kernel(sk)))
		return UNOWNED_WORKLOAD;
	if (!is_icmp(sk->protocol))
		return UNOWNED_HOST;
	if (is_discovery(sk->protocol, icmp_type(skb, sk->protocol, &code)))
		return UNOWNED_PASS;
	cfg = ident_cfg_read(0);
	if ((cfg.flags & IDENT_INGRESS) && !host_answers(skb, sk->protocol, cfg))
		return UNOWNED_DROP;
	return UNOWNED_HOST;
}

/*
 * A source route or a DNAT: not where connect() was judged to go. Or a SYN that goes out under another policy
 * than its connect(): a flip came between, or TCP_FASTOPEN_CONNECT kept it for the first send(). Or one that
 * stays on this host from a socket bound to an interface: its receiver will not find whose it is.
 */
__noinline int stray_stream(struct __sk_buff *skb, __u32 id, __u64 word, __u64 netns, __u32 tgid)
{
	struct addr src, dst;
	union {
		__u64 word;
		struct ident_cfg cfg;
	} u = {.word = word};
	struct bpf_sock *sk = skb->sk;
	struct judged j;
	struct peer p;
	__u32 meant;

	if (!sk)
		return 0;
	sk = bpf_sk_fullsock(sk);
	if (!sk || packet_addrs(skb, &src, &dst))
		return 0;
	if (skb->ifindex == LOOPBACK_IFINDEX)
		p = sender(skb, &dst, &src, bpf_ntohs(sk->dst_port), sk->src_port, true, &meant);
	else
		p = peer_at(netns, &dst, IPPROTO_TCP, bpf_ntohs(sk->dst_port), u.cfg.ip_slot);
	j = judge(u.cfg, id, p.id, DIR_EGRESS, IPPROTO_TCP, bpf_ntohs(sk->dst_port));
	if (p.local)
		judge_other_inline(&j, &p, id, DIR_INGRESS << 24 | IPPROTO_TCP << 16 | bpf_ntohs(sk->dst_port));
	if (j.reason)
		packet_report(j.allow ? FLOW_AUDIT : FLOW_DENY, &j, id, tgid, p.id, p.tgid, &src,
			      &dst, sk->src_port, bpf_ntohs(sk->dst_port), IPPROTO_TCP, netns);
	return j.allow;
}

SEC("cgroup_skb/egress")
int on_egress(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;
	struct connection *c;
	struct ident_cfg cfg;
	struct sk_info *info;
	bool to_peer = false, unseen;
	__u32 id;

	if (!sk)
		return 1;
	sk = bpf_sk_fullsock(sk);
	if (!sk)
		return 1;
	if (sk->type == SOCK_STREAM) {
		struct addr src, dst, own;

		if (sk->state == TCP_LISTEN)
			return 1;
		if (packet_addrs(skb, &src, &dst)) {
			count(COUNT_UNPARSED);
			return 0;
		}
		own = destination_of(sk);
		to_peer = addr_equal(&dst, &own);
		if (to_peer && sk->state != TCP_SYN_SENT && sk->protocol == IPPROTO_TCP)
			return 1;
	}
	c = NULL;
	info = NULL;
	if (sk->type == SOCK_STREAM) {
		__u64 cookie = bpf_get_socket_cookie(skb);

		c = connection_find(cookie);
		if (c && to_peer && skb->ifindex == LOOPBACK_IFINDEX && sk->state == TCP_SYN_SENT && sk->protocol == IPPROTO_TCP)
			own_syn_note(skb, cookie, c->netns);
	}
	if (!c) {
		info = bpf_sk_storage_get(&sk_info, sk, 0, 0);
		c = info ? &info->c : NULL;
	}
	if (c && (c->flags & (SK_FAILSAFE | SK_LOST)))
		return (c->flags & SK_FAILSAFE) != 0;
	id = sk_identity(sk, c);
	if (!c) {
		int whose = unowned(skb, id);

		if (whose == UNOWNED_DROP || whose == UNOWNED_PASS)
			return whose == UNOWNED_PASS;
		if (whose == UNOWNED_HOST)
			id = 0;
	}
	cfg = ident_cfg_read(id);
	if (!c && !id) /* a socket of the kernel itself */
		cfg.flags = 0;
	unseen = skb->ifindex == LOOPBACK_IFINDEX && sk->bound_dev_if;
	if (sk->type == SOCK_STREAM && !(cfg.flags & IDENT_EGRESS) && !unseen)
		return 1;
	if (to_peer && c && c->gen == cfg.gen && !unseen)
		return 1;
	if (sk->type == SOCK_STREAM) {
		union {
			struct ident_cfg cfg;
			__u64 word;
		} u = {.cfg = cfg};

		return stray_stream(skb, id, u.word, c ? c->netns : 0, c ? c->tgid : 0) & 1;
	}
	return datagram(skb, sk, info, id, cfg, false) & 3;
}
