/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * kernel.h: the few fields of kernel structs that the programs read, relocated by name at load (CO-RE). A generated
 * vmlinux.h would need BTF and bpftool on the build machine and says nothing about what is used.
 */
#ifndef POSTERN_KERNEL_H
#define POSTERN_KERNEL_H

#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#define AF_INET 2
#define AF_INET6 10
#define SOCK_STREAM 1
#define SOCK_DGRAM 2
#define SOCK_RAW 3
#define IPPROTO_ICMP 1
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17
#define IPPROTO_ICMPV6 58
#define IPPROTO_UDPLITE 136
#define IPPROTO_RAW 255
#define EPROTONOSUPPORT 93
#define ECONNREFUSED 111
#define IPPROTO_MPTCP 262
#define TCP_FLAGS 13 /* offset in the header */
#define TCP_SYN 0x02
#define TCP_ACK 0x10
#define TCP_ESTABLISHED 1
#define TCP_SYN_SENT 2
#define TCP_FIN_WAIT2 5
#define TCP_TIME_WAIT 6
#define TCP_CLOSE 7
#define TCP_LAST_ACK 9
#define TCP_LISTEN 10
#define TCP_CLOSING 11
#define TCP_NEW_SYN_RECV 12
#define SOCK_DONE_BIT 2 /* sk_flags: the peer's FIN has come (enum sock_flags) */
#define PF_KTHREAD 0x00200000
#define CAP_SYS_ADMIN 21
#define PACKET_LOOPBACK 5 /* skb->pkt_type (linux/if_packet.h) */
#define LOOPBACK_IFINDEX 1 /* fixed in every network namespace (net/core/dev.c, LOOPBACK_IFINDEX) */

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct qstr {
	const unsigned char *name;
	__u32 len;
};
struct super_block {
	__u32 s_dev;
};
struct dentry {
	struct dentry *d_parent;
	struct qstr d_name;
};
struct vfsmount {
	struct dentry *mnt_root;
	struct super_block *mnt_sb;
};
struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
};
struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};
struct file {
	struct path f_path;
};
struct user_namespace {
	int level;
};
struct mnt_namespace {
	struct user_namespace *user_ns;
};
struct net {
	__u64 net_cookie;
};
struct nsproxy {
	struct mnt_namespace *mnt_ns;
	struct net *net_ns;
};
struct fs_struct {
	struct path root;
};
struct mm_struct {
	unsigned long arg_start;
	unsigned long arg_end;
	unsigned long env_start;
	unsigned long env_end;
	struct file *exe_file;
};
typedef struct {
	unsigned int val;
} kuid_t;
typedef struct {
	__u64 val; /* before 6.3 two halves, the lower first */
} kernel_cap_t;
struct cred {
	kuid_t euid;
	kernel_cap_t cap_effective;
	struct user_namespace *user_ns;
};
struct kernfs_node {
	__u64 id;
	const char *name;
};
struct cgroup_root {
	int hierarchy_id;
};
struct cgroup;
struct cgroup_subsys_state {
	struct cgroup *cgroup;
	struct cgroup_subsys_state *parent;
};
struct cgroup {
	struct cgroup_subsys_state self;
	struct kernfs_node *kn;
	struct cgroup_root *root;
	int level;
};
struct css_set {
	struct cgroup *dfl_cgrp;
};
typedef struct {
	int counter;
} atomic_t;
typedef struct {
	__s64 counter;
} atomic64_t;
struct signal_struct {
	atomic_t live;
};
struct task_struct {
	unsigned int flags;
	int pid;
	int tgid;
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	struct mm_struct *mm;
	struct fs_struct *fs;
	struct nsproxy *nsproxy;
	const struct cred *cred;
	struct css_set *cgroups;
	struct signal_struct *signal;
	__u64 start_boottime;
};
struct linux_binprm {
	struct file *file;
	const char *filename;
};

struct in6_addr {
	union {
		__u8 u6_addr8[16];
	} in6_u;
};
typedef struct {
	struct net *net;
} possible_net_t;
struct sock_common {
	unsigned short skc_family;
	volatile unsigned char skc_state;
	unsigned char skc_net_refcnt : 1;
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num;
	int skc_bound_dev_if;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
	possible_net_t skc_net;
	unsigned long skc_flags;
	atomic64_t skc_cookie;
};
struct sock_cgroup_data {
	struct cgroup *cgroup;
};
struct sock {
	struct sock_common __sk_common;
	__u16 sk_type;
	__u16 sk_protocol;
	struct sock_cgroup_data sk_cgrp_data;
};
struct socket {
	struct sock *sk;
};
struct inet_sock {
	struct sock sk;
	__be16 inet_sport;
};
struct inet_connection_sock {
	struct inet_sock icsk_inet;
};
struct tcp_sock {
	struct inet_connection_sock inet_conn;
	__u64 tcp_clock_cache; /* CLOCK_MONOTONIC, ns: read for each packet that comes and each that goes */
	__u64 bytes_received;
	__u64 bytes_acked;
	__u32 srtt_us;
	__u32 total_retrans;
};
struct udp_sock;
struct mptcp_sock;
struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
	__u64 session_id;
	__u64 seq_num;
};
struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};
struct bpf_iter__task_file {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	__u32 fd;
	struct file *file;
};
struct bpf_iter__tcp {
	struct bpf_iter_meta *meta;
	struct sock_common *sk_common;
	unsigned int uid;
};
struct bpf_iter__udp {
	struct bpf_iter_meta *meta;
	struct udp_sock *udp_sk;
	unsigned int uid __attribute__((aligned(8)));
	int bucket __attribute__((aligned(8)));
};

#pragma clang attribute pop

#endif
