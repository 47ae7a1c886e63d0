// SPDX-License-Identifier: GPL-2.0
// The object of the kernel tests: one map of each type, one program of each kind the tests attach. No vmlinux.h: the
// few kernel types are declared here and relocated by CO-RE.
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "GPL";

enum verdict { VERDICT_UNSPEC, VERDICT_FORWARDED = 1, VERDICT_DROPPED = 2 };

struct policy_key {
	__u32 identity;
	__u16 dport_be;
	__u8 protocol;
	__u8 pad;
};
struct policy_value {
	__u64 packets;
	__u64 cookie;
	enum verdict verdict;
	__u32 direction : 1, audit : 1, hops : 6, rest : 24;
};
struct prefix_key {
	__u32 length;
	__u8 address[16];
};
struct event {
	__u64 sequence;
	__s64 delta;
	__u32 kind;
	char comm[16];
	__u8 address[16];
	__u16 ports[2];
	union {
		__u32 gid;
		__u32 uid;
	};
	_Bool last;
};
/* Types that only records use are in BTF only if a global names them. */
const struct event *unused_event __attribute__((unused));

struct settings {
	__u32 deny_port;
	char tag[12];
	__u64 magic;
};
const volatile struct settings settings = { .deny_port = 1 };
const volatile _Bool enabled = 0;
__u64 connects, executions, lost, produced, iterated, filtered;
__u32 started = 7;

struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 10000); __type(key, struct policy_key); __type(value, struct policy_value); } policy SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_LRU_HASH); __uint(max_entries, 1024); __type(key, __u32); __type(value, __u64); } lru SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_LPM_TRIE); __uint(max_entries, 1024); __uint(map_flags, BPF_F_NO_PREALLOC); __type(key, struct prefix_key); __type(value, __u32); } ipcache SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 8); __type(key, __u32); __type(value, __u64); } array SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 512); __uint(map_flags, BPF_F_MMAPABLE); __type(key, __u32); __type(value, __u64); } shared SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(max_entries, 4); __type(key, __u32); __type(value, __u64); } percpu_array SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERCPU_HASH); __uint(max_entries, 64); __type(key, __u32); __type(value, __u32); } percpu_hash SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_QUEUE); __uint(max_entries, 4); __type(value, __u32); } queue SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_SK_STORAGE); __uint(map_flags, BPF_F_NO_PREALLOC); __type(key, int); __type(value, struct policy_value); } sockets SEC(".maps");
struct inner { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 2); __type(key, __u32); __type(value, __u64); };
struct { __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS); __uint(max_entries, 2); __type(key, __u32); __array(values, struct inner); } tables SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_HASH_OF_MAPS); __uint(max_entries, 8); __type(key, __u32); __array(values, struct inner); } policies SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096 * 4); } events SEC(".maps");

/* The size argument: data_in carries the number of records, retval returns how many fitted. */
static __always_inline int produce(struct __sk_buff *skb, __u64 flags)
{
	__u32 wanted = 0, done = 0;

	if (bpf_skb_load_bytes(skb, 14, &wanted, sizeof wanted))
		return -1;
	for (int i = 0; i < 1024 && i < wanted; i++) {
		struct event *event = bpf_ringbuf_reserve(&events, sizeof *event, 0);

		if (!event) {
			lost++;
			continue;
		}
		__builtin_memset(event, 0, sizeof *event);
		event->sequence = produced++;
		event->delta = -5;
		event->kind = VERDICT_DROPPED;
		__builtin_memcpy(event->comm, "curl", 5);
		event->address[0] = 0x20;
		event->address[15] = 1;
		event->ports[0] = 443;
		event->uid = 1000;
		event->last = i + 1 == wanted;
		bpf_ringbuf_submit(event, flags);
		done++;
	}
	return done;
}

SEC("tc") int produce_wakeup(struct __sk_buff *skb) { return produce(skb, 0); }
SEC("tc") int produce_quiet(struct __sk_buff *skb) { return produce(skb, BPF_RB_NO_WAKEUP); }
SEC("tc") int discard(struct __sk_buff *skb)
{
	struct event *event = bpf_ringbuf_reserve(&events, sizeof *event, 0);

	if (event)
		bpf_ringbuf_discard(event, 0);
	return 0;
}

/* TC_ACT_UNSPEC: the next filter is asked. */
SEC("tc") int filter_first(struct __sk_buff *skb)
{
	__sync_fetch_and_add(&filtered, 1);
	return -1;
}
SEC("tc") int filter_second(struct __sk_buff *skb)
{
	__sync_fetch_and_add(&filtered, 1000);
	return -1;
}

SEC("cgroup/connect4") int connect_first(struct bpf_sock_addr *ctx)
{
	__sync_fetch_and_add(&connects, 1);
	return bpf_ntohs(ctx->user_port) != settings.deny_port;
}
SEC("cgroup/connect4") int connect_second(struct bpf_sock_addr *ctx)
{
	__sync_fetch_and_add(&connects, 1000);
	return 1;
}
SEC("cgroup_skb/egress") int egress(struct __sk_buff *skb) { return enabled ? 3 : 1; }
SEC("xdp") int pass(struct xdp_md *ctx) { return XDP_PASS; }

struct task_struct { int tgid; } __attribute__((preserve_access_index));
struct seq_file;
struct bpf_iter_meta { struct seq_file *seq; } __attribute__((preserve_access_index));
struct bpf_iter__task { struct bpf_iter_meta *meta; struct task_struct *task; } __attribute__((preserve_access_index));
struct file;
struct bpf_iter__task_file { struct bpf_iter_meta *meta; struct task_struct *task; __u32 fd; struct file *file; } __attribute__((preserve_access_index));
struct sock_common { __be32 skc_rcv_saddr; __u16 skc_num; __u16 skc_family; } __attribute__((preserve_access_index));
struct bpf_iter__tcp { struct bpf_iter_meta *meta; struct sock_common *sk_common; } __attribute__((preserve_access_index));

SEC("tp_btf/sched_process_exec") int BPF_PROG(executed, struct task_struct *task)
{
	__sync_fetch_and_add(&executions, 1);
	return 0;
}
SEC("iter/task") int each_task(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (!task)
		return 0;
	iterated++;
	__u32 pid = task->tgid;
	bpf_seq_write(ctx->meta->seq, &pid, sizeof pid);
	return 0;
}
SEC("iter/task_file") int each_file(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct { __u32 pid, fd; } row;

	if (!task || !ctx->file)
		return 0;
	row.pid = task->tgid;
	row.fd = ctx->fd;
	bpf_seq_write(ctx->meta->seq, &row, sizeof row);
	return 0;
}
SEC("iter/tcp") int each_socket(struct bpf_iter__tcp *ctx)
{
	struct sock_common *sk = ctx->sk_common;

	if (!sk)
		return 0;
	__u32 port = sk->skc_num;
	bpf_seq_write(ctx->meta->seq, &port, sizeof port);
	return 0;
}
