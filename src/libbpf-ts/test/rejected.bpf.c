// SPDX-License-Identifier: GPL-2.0
// One program the verifier must reject: it uses a hash map value without the NULL check.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 8); __type(key, __u32); __type(value, __u64); } counts SEC(".maps");

SEC("tc") int unchecked(struct __sk_buff *skb)
{
	__u32 key = skb->len;
	__u64 *count = bpf_map_lookup_elem(&counts, &key);

	return *count;
}
