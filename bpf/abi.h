/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * abi.h: every number and struct that the kernel side and user space share. The TypeScript side is generated from the
 * object's BTF at build time, so this file is the only place where they are written down.
 *
 * Rules
 *  1. Addresses are 16 bytes in network order; IPv4 is ::ffff:a.b.c.d. The unspecified address never reaches a lookup of a peer.
 *  2. Ports are in host order, except inside `policy_l4` where the trie needs network order (`port_be`).
 *  3. Identity 0 means "no label"; as a peer it is RESERVED_HOST.
 *  4. Structs have explicit padding, zero-initialised: hash maps compare the padding too.
 *  5. Numbers are never reused; drop reasons and reserved identities are Cilium's.
 */
#ifndef POSTERN_ABI_H
#define POSTERN_ABI_H

#include <linux/types.h>

/* Bumped when a pinned map changes its layout: an agent refuses pins of another version. */
#define POSTERN_ABI_VERSION 5

#define PATTERN_MAX 256   /* bytes of an argument or path pattern with its NUL, and of what is compared with it */
#define CLAUSE_ARGS 16    /* argument and environment patterns of one clause */
#define CLAUSE_CGROUPS 2  /* cgroup patterns of one clause: systemdUnit and cgroup */
#define NESTED_MAX 8      /* patterns that are prefixes of one another */
#define CGROUP_PATTERNS 8 /* patterns that one cgroup and its ancestors meet */
#define CGROUP_DEPTH_MAX 32 /* cgroups above a socket's that are looked at for the scope */
#define CLAUSES_MAX 8192  /* clauses of one slot */
#define CGROUP_PATTERN_MAX 4096

enum reserved {
	RESERVED_HOST = 1,
	RESERVED_WORLD = 2,
	RESERVED_INIT = 5,
	RESERVED_WORLD_IPV4 = 9,
	RESERVED_WORLD_IPV6 = 10,
};

/* Hubble's TrafficDirection. */
enum direction { DIR_UNKNOWN = 0, DIR_INGRESS = 1, DIR_EGRESS = 2 };

/* Hubble's Verdict, where the meaning is the same. */
enum verdict { VERDICT_FORWARDED = 1, VERDICT_DROPPED = 2, VERDICT_AUDIT = 4 };

/* Cilium's drop reasons; 1.. are Postern's own, below Cilium's range. */
enum drop_reason {
	REASON_NONE = 0,
	REASON_MAP_MISS = 1,	 /* enforced, but no entry in the active slot: fails closed, counted */
	REASON_UNPARSED = 2,	 /* packet too short for its fixed header */
	REASON_SOCKET_TYPE = 3,	 /* a protocol that no packet hook can judge */
	REASON_PORT_OWNED = 4,	 /* bind to a port that is registered to another workload */
	REASON_POLICY_DENIED = 133, /* no rule allows */
	REASON_POLICY_DENY = 181,   /* a deny rule matched */
};

/* ---- policy ---------------------------------------------------------------------------------------------------- */

enum ident_flag { IDENT_INGRESS = 1, IDENT_EGRESS = 2, IDENT_AUDIT = 4 };

/* What an enforced identity may open besides TCP and UDP sockets: declared in its registration, or opened by its policy. */
enum open_flag {
	OPEN_ICMP = 1,
	OPEN_MPTCP = 2,
	OPEN_UDPLITE = 4,
	OPEN_RAW = 8, /* the protocols in `raw_open` */
	OPEN_TUN = 16,
	OPEN_PACKET = 32,
	OPEN_SOCKETS = 64, /* sockets of every type: its policy denies nothing */
};

/* One aligned 8-byte store flips an identity: which slot of policy_l3 and of ip_* it reads, and the generation that stales verdicts. */
struct ident_cfg {
	__u32 gen;
	__u8 slot;
	__u8 ip_slot;
	__u8 flags; /* enum ident_flag: directions in which the identity is enforced */
	__u8 opens; /* enum open_flag */
};

#define IDENT_PLACES 65536 /* a power of two: the numbers of one cluster have 16 bits */

/* At the low bits of an identity: its word, 0 = not enforced. */
struct ident_place {
	__u64 identity;
	struct ident_cfg cfg;
};

/* An identity that may open raw sockets of a protocol. */
struct raw_key {
	__u32 identity;
	__u32 protocol;
};

struct l3_key {
	__u32 local;
	__u32 remote; /* 0 = every remote without an entry of its own */
	__u8 direction;
	__u8 slot;
	__u16 pad;
};

/*
 * A peer's whole table: inline when it does not depend on ports, else a reference into policy_l4. One entry of that table for a
 * single port, where it has any, stands here too: nothing is more specific, so who asks for it needs no second look-up.
 */
struct l3_val {
	__u32 table; /* 0 = `verdict` and `rule` hold for every protocol and port */
	__u32 rule;
	__u32 lengths; /* bit n: the table has entries of the length n, 0..16 */
	__u32 port_rule;
	__u16 port;
	__u8 port_protocol; /* 0 = no such entry */
	__u8 port_verdict;
	__u8 verdict; /* enum policy_verdict */
	__u8 pad[3];
};

/*
 * Beside a denial: POLICY_AUDIT = forwarded, and reported as what would have been dropped; how it feels to the program, neither of
 * the two = EPERM at once.
 */
enum policy_verdict {
	POLICY_ALLOW = 1,
	POLICY_DENY = 2,
	POLICY_DEFAULT_DENY = 3,
	POLICY_AUDIT = 8,
	POLICY_REFUSED = 16, /* ECONNREFUSED at once */
	POLICY_TIMEOUT = 32, /* as if its packets were lost */
};
#define POLICY_WORD 7 /* the verdict without what stands beside it */

#define L4_FALLBACK 255

/* The longest that fits wins: 16 = a port, 0 = every port of a protocol, between = an aligned range; then the table's fallback. */
struct l4_key {
	__u32 table;
	__u16 port; /* its first `length` bits, the others are 0 */
	__u8 protocol;
	__u8 length; /* L4_FALLBACK: port and protocol are 0 */
};

struct l4_val {
	__u32 rule;
	__u8 verdict; /* enum policy_verdict */
	__u8 pad[3];
};

/* ---- addresses ------------------------------------------------------------------------------------------------- */

struct ip_key {
	__u8 addr[16];
	__u32 slot;
};

struct cidr_key {
	__u32 prefixlen; /* 8 for the slot + 0..128 */
	__u8 slot;
	__u8 addr[16];
	__u8 pad[3];
};

struct own_addr_key {
	__u64 netns; /* netns cookie */
	__u8 addr[16];
};

/* A socket of this host that can be reached at (address, port). */
struct local_key {
	__u64 netns;
	__u8 addr[16];
	__u16 port;
	__u8 protocol;
	__u8 pad[5];
};

struct local_val {
	__u32 identity; /* 0 = the host */
	__u32 tgid;
	__s32 sockets; /* sockets behind this key (SO_REUSEPORT); the entry goes with the last */
	__u32 failsafe; /* ahead of policy: who connects is not judged for it */
};

/* ---- processes and cgroups -------------------------------------------------------------------------------------- */

enum label_origin {
	ORIGIN_NONE = 0,
	ORIGIN_EXEC = 1,
	ORIGIN_CGROUP = 2,
	ORIGIN_INHERITED = 3,
	ORIGIN_RUN = 4,
	ORIGIN_LISTEN = 5,
	ORIGIN_BACKFILL = 6,
};

enum proc_flag {
	PROC_GATEWAY = 1,   /* may place other processes; does not hand on a label that it gained itself */
	PROC_FAILSAFE = 2,  /* its listening sockets and their sessions are ahead of policy */
	PROC_SELF = 4,	    /* Postern itself: every socket is ahead of policy */
	PROC_SPOOFABLE = 8, /* the label came from a claim that any local user could make */
	PROC_PINNED = 16,   /* `postern run`: never re-decided */
	PROC_ARGS_CUT = 32, /* the kernel saw only a part of its arguments, environment or path */
	PROC_NO_INHERIT = 64,
	PROC_PENDING = 128, /* a clause that user space decides may name it: without a label of its own it is RESERVED_INIT */
};

/* Value of `proc`, by tgid. Absent = unlabelled and ordinary. */
struct proc {
	__u32 identity;
	__u32 rank; /* precedence of the clause; larger wins */
	__u32 clause;
	__u32 gained_by; /* tgid that gained the label: the endpoint's process */
	__u64 cgroup;	 /* id of the cgroup in which it was gained */
	__u8 origin;
	__u8 flags;
	__u8 level; /* depth of the cgroup that gave it, or in which it was gained */
	__u8 launch; /* enum launch_flag */
	__u8 late; /* 1 = user space decided */
	__u8 pad[3];
};

/* A unit that starts other people's programs (cron, supervisord) is its main program alone; see process.bpf.c. */
enum launch_flag {
	LAUNCH_FRESH = 1,  /* whoever started it placed it in its cgroup, and it has not run a program of its own yet */
	LAUNCH_JOBS = 2,   /* the main program of its cgroup, one that starts jobs; and its forks */
	LAUNCH_NOBODY = 4, /* a job: what the cgroup `cgroup` gives is not its name. PROC_PINNED without an identity */
};

/* CGROUP_INSIDE_UNIT: it or one above is a .service or .scope, so the units below are not the system manager's. */
/* CGROUP_PENDING: user space has not looked at it yet, and a clause that it decides may name it. */
enum cgroup_flag { CGROUP_INSIDE_UNIT = 1, CGROUP_SPOOFABLE = 2, CGROUP_PENDING = 4 };

/* Effective label of a cgroup: its own or its nearest labelled ancestor's, by precedence. */
struct cgroup_label {
	__u32 identity;
	__u32 rank;
	__u32 clause;
	__u8 level; /* depth of the cgroup that gained it */
	__u8 flags;
	__u8 n_patterns;
	__u8 pad;
	__u64 gained; /* id of the cgroup that gained it */
	__u32 patterns[CGROUP_PATTERNS];
};

enum clause_flag {
	CLAUSE_EXE = 1,
	CLAUSE_UID = 2,
	CLAUSE_SPOOFABLE = 4,
	CLAUSE_NO_INHERIT = 8,
	CLAUSE_SCRIPT = 16,
	CLAUSE_LATE = 32, /* what holds here is not all of it: the process waits for user space */
	CLAUSE_NAME = 64, /* `exe` is the hash of the file's name alone */
};

/* How much is known of the program that an interpreter runs. */
enum script_state {
	SCRIPT_NONE = 0,   /* no script */
	SCRIPT_KNOWN = 1,  /* its hash is that of the file */
	SCRIPT_UNSURE = 2, /* a path of which some component may be a symbolic link */
};

/* Added to the slot in the keys of arg_match and arg_prefix: patterns of the environment. */
#define ENV_SLOT 2
/* Slots of arg_match from here on: options of interpreters, by enum interpreter; they do not change. */
#define OPTION_SLOT 4

/* Kinds of interpreters by how their arguments are read. `pattern` of an option is an enum option_action. */
enum interpreter { INTERPRETER_NONE = 0, INTERPRETER_SCRIPT = 1, INTERPRETER_SHELL = 2, INTERPRETER_JAVA = 3 };
enum option_action { OPTION_ENDS = 1, OPTION_TAKES_VALUE = 2, OPTION_TAKES_SCRIPT = 3 };

/* One conjunction, indexed by its most selective part; `next` chains the clauses of one index entry. */
struct clause {
	__u64 exe; /* keyed hash of the resolved path */
	__u64 script; /* likewise */
	__u32 identity;
	__u32 rank;
	__u32 uid;
	__u32 next; /* clause index + 1, 0 = end */
	__u32 args[CLAUSE_ARGS]; /* pattern ids that must all be found, 0 = none */
	__u32 cgroups[CLAUSE_CGROUPS];
	__u8 flags;
	__u8 script_state; /* CLAUSE_LATE: at least so much must be open (enum script_state) */
	__u8 pad[6];
};

enum exe_kind { EXE_PATH = 0, EXE_SCRIPT = 1, EXE_NAME = 2 };

struct exe_key {
	__u64 hash;
	__u32 slot;
	__u32 kind; /* enum exe_kind: path of the executable, path of the script, name of an interpreter */
};

struct exe_val {
	__u32 head;  /* clause index + 1 of the first clause indexed by this executable or script */
	__u32 flags; /* PROC_GATEWAY, PROC_FAILSAFE, enum exe_flag; EXE_NAME: enum interpreter */
};

enum exe_flag {
	EXE_JOBS = 256,	    /* starts other people's programs */
	EXE_EXECUTOR = 512, /* of systemd: becomes what a unit's main program is, and is none itself */
};

struct arg_key {
	__u32 slot;
	char text[PATTERN_MAX];
};

struct arg_val {
	__u32 pattern;
	__u32 head;
};

struct arg_prefix_key {
	__u32 prefixlen; /* 8 for the slot + 8 per byte of the pattern */
	__u8 slot;
	__u8 text[PATTERN_MAX - 1]; /* bytes: a pattern may fill it without a NUL */
};

/* Every prefix pattern that the text meets, shortest first: a trie returns only the longest. */
struct arg_prefix_val {
	__u32 n;
	__u32 patterns[NESTED_MAX];
	__u32 heads[NESTED_MAX];
};

enum cgroup_kind { CGROUP_PATH = 1, CGROUP_UNIT = 2 };

struct cgroup_pattern_key {
	__u32 prefixlen; /* 16 for slot and kind + 8 per byte; an exact pattern includes its NUL */
	__u8 slot;
	__u8 kind;
	__u8 text[PATTERN_MAX - 2];
};

struct cgroup_pattern_val {
	__u32 n;
	__u32 patterns[NESTED_MAX];
};

/* PATTERN_ELSEWHERE: a socket unit that by Service= starts another unit than the one of its own name. */
enum cgroup_pattern_flag { PATTERN_EXACT = 1, PATTERN_ELSEWHERE = 2 };

struct cgroup_pattern {
	__u32 head;   /* clauses without a process part that need this pattern */
	__u16 prefix_length;
	__u8 suffix_length;
	__u8 level;   /* depth that the cgroup must have, 0 = any */
	__u8 flags; /* enum cgroup_pattern_flag */
	__u8 pad[7];
	char suffix[64];
};

struct listen_key {
	__u8 addr[16]; /* zero = any */
	__u16 port;
	__u8 protocol;
	__u8 slot;
};

struct listen_val {
	__u32 identity;
	__u32 rank;
	__u32 clause;
	__u32 pad;
};

/* ---- sockets --------------------------------------------------------------------------------------------------- */

enum sk_flag {
	SK_FAILSAFE = 1,
	SK_LISTED = 2,	    /* counted in `local` */
	SK_REMOTE_LOCAL = 4, /* the peer is a socket of this host: its identity is remote_id, not its address */
	SK_ESTABLISHED = 8,
	SK_OLD = 16, /* older than the agent */
	SK_PINNED = 32, /* labelled by a `listen` clause */
	SK_LOST = 64, /* denied with POLICY_TIMEOUT at connect(): no packet of it leaves, none that opens it comes in */
};

/* Who owns a socket and, of a stream, what its connection is: value of `connection`, by socket cookie. */
struct connection {
	__u32 local_id;
	__u32 remote_id;
	__u32 rule;
	__u32 gen;
	__u32 tgid;
	__u32 peer_tgid;
	__u64 netns;
	__u64 latest; /* stream: when it was established, ns, before that `admission`; datagram: the conversation let through last, see conv_word */
	__u16 port;   /* the port that policy judges: the listener's; SK_LISTED: the bound one */
	__u8 direction; /* enum direction of the connection */
	__u8 flags;	/* enum sk_flag */
	__u8 origin;
	__u8 round; /* of the backfill that labelled it */
	__u8 pad[2];
};

#define CONNECTION_SLOTS 65536 /* a power of two */

/* The place of one connection, by the low bits of its socket's cookie: see connection.h. One cache line. */
struct connection_slot {
	__u64 cookie; /* 0 = free */
	struct connection c;
	__u32 spilled; /* connections of the same place that are in the hash */
	__u32 pad;
};

/* Socket storage: listeners, datagrams, raw; and streams that are older than the agent. */
struct sk_info {
	struct connection c;
	__u8 peer[16];	/* connected datagram: the peer of connect() */
	__u8 bound[16]; /* SK_LISTED: the address under which it stands in `local` */
	__u16 peer_port;
	__u8 pad[6];
};

/* A datagram conversation of one socket; admits the replies. */
struct conv_key {
	__u64 cookie;
	__u8 addr[16];
	__u16 port;
	__u8 protocol;
	__u8 pad[5];
};

struct conv_val {
	__u32 gen; /* of this socket's identity: under another it is judged again */
	__u32 remote_id;
	__u32 rule;
	__u32 rule_gen; /* of the identity whose rule that is: the receiver's, where only that has one */
	__u8 direction; /* who began: DIR_EGRESS = this socket */
	__u8 untold; /* not reported yet: the packet hook knows the ports */
	__u8 both;   /* FLOW_BOTH, or 0 */
	__u8 pad;
};

/* A SYN that stays on this host. */
struct own_syn {
	__u64 cookie; /* of the socket that sent it */
	__u64 netns;
	__u8 saddr[16];
	__u8 daddr[16];
	__u16 sport;
	__u16 dport;
	__u32 pad;
};

/* The packet that a listener let through last on this CPU: the connection that it opens knows its owner and its peer by it. */
struct handshake {
	__u64 netns;
	__u8 saddr[16];
	__u8 daddr[16];
	__u16 sport;
	__u16 dport;
	__u32 local_id;
	__u32 remote_id;
	__u32 rule;
	__u32 gen;
	__u32 tgid;
	__u32 peer_tgid;
	__u8 flags; /* SK_REMOTE_LOCAL, SK_FAILSAFE, SK_PINNED */
	__u8 origin;
	__u8 pad[2];
};

/* ---- run-time settings, counters, events ------------------------------------------------------------------------- */

struct config {
	__u64 hash_key;
	__u64 scope; /* id of the cgroup below which processes are named, 0 = all */
	__u64 netns; /* written by iter host_root: netns cookie of its reader */
	__u32 abi;
	__u32 match_slot;
	__u32 ip_slot;
	__u32 any_head[2]; /* by slot: clauses that neither an executable nor an argument indexes */
	__u32 arg_patterns[2]; /* by slot: number of argument patterns, 0 = arguments are not read */
	__u32 env_patterns[2]; /* likewise for the environment */
	__u32 root_dev; /* s_dev of the host's root file system */
	__u32 root_is_top; /* 1 = nothing is mounted below it (no initramfs rootfs) */
	__u32 round; /* of backfill */
	__u32 scope_level;
	__u32 revoke_by_list; /* 1 = revoke_tcp only lists: the kernel has no bpf_sock_destroy (before 6.5) */
	__u32 scripts[2]; /* by slot: number of scripts that are looked for, 0 = none */
	__u32 unsure_head[2]; /* by slot: clauses that only a script of which the kernel is not sure indexes */
	__u32 late_cgroups[2]; /* by slot: 1 = a new cgroup may be named by user space */
	__u32 host_policy; /* 1 = ident_cfg of the reserved identity host is for processes that are no workload */
};

enum counter {
	COUNT_EVENT_LOST = 0,
	COUNT_MAP_MISS = 1,
	COUNT_LOCAL_MISS = 2,	 /* a local address without an entry in `local`: taken as the host */
	COUNT_NO_STORAGE = 3,	 /* a socket without storage: its cgroup decided */
	COUNT_PROC_FULL = 4,
	COUNT_CGROUP_FULL = 5,
	COUNT_LOCAL_FULL = 6,
	COUNT_UNPARSED = 7,
	COUNT_ARGS_CUT = 8,
	COUNT_PATH_DEEP = 9,
	COUNT_REVOKED = 10,
	COUNT_REVOKE_FAILED = 11,
	COUNT_EVENT = 12,
	COUNT_BACKFILLED = 13,
	COUNT_KTHREAD = 14,
	COUNT_CONNECTION_FULL = 15,
	COUNT_MAX = 16,
};

enum event_type { EVENT_FLOW = 1, EVENT_EXEC = 2, EVENT_EXIT = 3, EVENT_CGROUP = 4, EVENT_LISTEN = 5 };

struct event_header {
	__u8 type;
	__u8 version;
	__u16 length;
	__u32 pad;
	__u64 time_ns; /* CLOCK_MONOTONIC */
};

enum flow_kind {
	FLOW_CONNECT = 1,
	FLOW_ACCEPT = 2,
	FLOW_DENY = 3,
	FLOW_AUDIT = 4,
	FLOW_CLOSE = 5,
	FLOW_FAIL = 6,
	FLOW_EXCHANGE = 7,
};

enum flow_flag {
	FLOW_REVOKED = 1, /* the connection existed */
	FLOW_BOTH = 2,	  /* of egress: the receiver is on this host, and was asked too */
};

/* Source is who began the connection or conversation, whichever end reports. */
struct flow_event {
	struct event_header header;
	__u8 kind;
	__u8 verdict;
	__u8 direction; /* the side that was judged, or that reports */
	__u8 reason;
	__u8 protocol;
	__u8 flags; /* enum flow_flag */
	__u16 pad;
	__u32 source_id;
	__u32 destination_id;
	__u32 source_tgid;
	__u32 destination_tgid;
	__u32 rule;
	__u32 gen;
	__u8 saddr[16];
	__u8 daddr[16];
	__u16 sport;
	__u16 dport;
	__u32 rtt_us;
	__u32 retransmits;
	__u32 pad2;
	__u64 netns;
	__u64 bytes_sent; /* by the reporting end */
	__u64 bytes_received;
	__u64 duration_ns;
};

struct exec_event {
	struct event_header header;
	__u32 tgid;
	__u32 ppid;
	__u32 uid;
	__u32 identity;
	__u32 clause;
	__u8 origin;
	__u8 flags;
	__u16 forked; /* 1 = no exec: the child of a process that is pending */
	__u64 cgroup;
	__u64 start_ns; /* CLOCK_BOOTTIME */
	char comm[16];
	char filename[160]; /* as the caller passed it */
};

struct exit_event {
	struct event_header header;
	__u32 tgid;
	__u32 identity;
};

struct cgroup_event {
	struct event_header header;
	__u64 id;
	__u32 identity;
	__u8 removed;
	__u8 level;
	__u16 pad;
	char path[PATTERN_MAX];
};

struct listen_event {
	struct event_header header;
	__u8 addr[16];
	__u64 netns;
	__u32 tgid;
	__u32 identity;
	__u16 port;
	__u8 protocol;
	__u8 pad[5];
};

/* What revoke_tcp prints where it cannot destroy: one connection, this host's end first. */
struct revoked {
	__u8 local[16];
	__u8 remote[16];
	__u16 local_port;
	__u16 remote_port;
	__u32 ifindex; /* it is bound to this interface; 0 = to none */
};

/* Question and answer of probe_verdict. */
struct verdict_probe {
	__u32 local;
	__u32 remote; /* 0 = whoever `addr` is */
	__u8 addr[16];
	__u16 port;
	__u8 protocol;
	__u8 direction;
	__u8 allow;
	__u8 reason;
	__u8 denial; /* POLICY_REFUSED, POLICY_TIMEOUT, 0 = EPERM */
	__u8 pad;
	__u32 rule;
	__u32 gen;
};

_Static_assert(sizeof(struct ident_cfg) == 8 && sizeof(struct ident_place) == 16, "flipped by one store");
_Static_assert(sizeof(struct l3_key) == 12 && sizeof(struct l3_val) == 24, "policy_l3");
_Static_assert(sizeof(struct l4_key) == 8, "policy_l4");
_Static_assert(sizeof(struct cidr_key) == 24, "ip_cidr");
_Static_assert(sizeof(struct local_key) == 32 && sizeof(struct conv_key) == 32, "padding is explicit");
_Static_assert(sizeof(struct proc) == 32, "proc");
_Static_assert(sizeof(struct connection_slot) == 64 && sizeof(struct connection) == 48 && sizeof(struct sk_info) == 88 && sizeof(struct handshake) == 72 && sizeof(struct flow_event) == 128, "no hidden padding");
_Static_assert(sizeof(struct arg_prefix_key) == 260 && sizeof(struct cgroup_pattern_key) == 260, "a trie key holds 256 bytes");

#endif
