/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * match.h: which clause names a process (at exec) or a cgroup (at mkdir). A clause is indexed by its most selective part
 * (an argument, else the executable, else nothing), so that the cost follows what the process looks like, not how
 * many clauses there are. The clause of the highest rank wins; ranks are a total order made by core/match-precedence.
 */
#ifndef POSTERN_MATCH_H
#define POSTERN_MATCH_H

#include "path.h"

#define CHAIN_MAX 4096
#define ARGS_MAX 8192

struct candidate {
	__u64 exe;
	__u64 cgroup;
	__u32 uid;
	__u32 slot;
	__u32 at; /* clause index + 1 */
	__u32 identity;
	__u32 rank;
	__u32 clause;
	__u8 flags;
};

static __always_inline bool has_cgroup_pattern(const struct cgroup_label *c, __u32 pattern)
{
	int i;

	if (!c)
		return false;
	for (i = 0; i < CGROUP_PATTERNS; i++)
		if (c->patterns[i] == pattern)
			return true;
	return false;
}

static long clause_step(__u32 index, void *context)
{
	struct candidate *m = context;
	struct scratch *s = scratch_get();
	__u32 at = m->at - 1, key;
	struct clause *c;
	int i;

	if (!s || at >= CLAUSES_MAX)
		return 1;
	key = (m->slot & 1) * CLAUSES_MAX + at;
	c = bpf_map_lookup_elem(&clauses, &key);
	if (!c)
		return 1;
	m->at = c->next;
	if (c->rank <= m->rank)
		return 1; /* a chain is in falling rank */
	if ((c->flags & CLAUSE_EXE) && c->exe != m->exe)
		return 0;
	if ((c->flags & CLAUSE_UID) && c->uid != m->uid)
		return 0;
	for (i = 0; i < CLAUSE_ARGS; i++) {
		__u32 id = c->args[i];

		if (id && !(s->bits[(id >> 6) & 127] & (1ULL << (id & 63))))
			return 0;
	}
	for (i = 0; i < CLAUSE_CGROUPS; i++) {
		if (c->cgroups[i] &&
		    !has_cgroup_pattern(bpf_map_lookup_elem(&cgroup_label, &m->cgroup), c->cgroups[i]))
			return 0;
	}
	m->identity = c->identity;
	m->rank = c->rank;
	m->clause = at + 1;
	m->flags = c->flags;
	return 1;
}

static __always_inline void match_chain(struct candidate *m, __u32 head)
{
	m->at = head;
	if (head)
		bpf_loop(CHAIN_MAX, clause_step, m, 0);
}

static __always_inline void met(struct scratch *s, __u32 pattern, __u32 head)
{
	__u32 n = s->n_ids, h = s->n_heads;
	__u64 bit = 1ULL << (pattern & 63);
	__u64 *word = &s->bits[(pattern >> 6) & 127];

	if (!pattern || (*word & bit) || n >= 64)
		return;
	*word |= bit;
	s->ids[n & 63] = pattern;
	s->n_ids = n + 1;
	if (head && h < 64) {
		s->heads[h & 63] = head;
		s->n_heads = h + 1;
	}
}

struct arg_walk {
	unsigned long at, end;
	__u32 slot;
	__u32 cut; /* inside an argument longer than PATTERN_MAX - 1 */
	__u32 unread;
};

static long arg_step(__u32 index, void *context)
{
	struct arg_walk *w = context;
	struct scratch *s = scratch_get();
	struct arg_val *exact;
	struct arg_prefix_val *prefix;
	long length;
	int i;

	if (!s || w->at >= w->end)
		return 1;
	__builtin_memset(s->arg.text, 0, sizeof(s->arg.text));
	length = bpf_probe_read_user_str(s->arg.text, sizeof(s->arg.text), (void *)w->at);
	if (length <= 0) {
		w->unread = 1;
		return 1;
	}
	if (w->cut) { /* the rest of a long argument: only its end matters */
		w->cut = length == sizeof(s->arg.text);
		w->at += w->cut ? length - 1 : length;
		return 0;
	}
	if (length == sizeof(s->arg.text)) { /* an argument of just this length is whole */
		char after = 0;

		bpf_probe_read_user(&after, 1, (void *)(w->at + length - 1));
		w->cut = after != 0;
	}
	w->at += w->cut ? length - 1 : length;
	if (!w->cut) {
		s->arg.slot = w->slot;
		exact = bpf_map_lookup_elem(&arg_match, &s->arg);
		if (exact)
			met(s, exact->pattern, exact->head);
	}
	s->prefix.prefixlen = 8 * PATTERN_MAX;
	s->prefix.slot = w->slot;
	__builtin_memcpy(s->prefix.text, s->arg.text, sizeof(s->prefix.text));
	prefix = bpf_map_lookup_elem(&arg_prefix, &s->prefix);
	if (prefix) {
		for (i = 0; i < NESTED_MAX; i++) {
			if (i >= prefix->n)
				break;
			met(s, prefix->patterns[i], prefix->heads[i]);
		}
	}
	return 0;
}

struct head_walk {
	struct candidate *m;
};

static long head_step(__u32 index, void *context)
{
	struct candidate *m = context;
	struct scratch *s = scratch_get();

	if (!s || index >= s->n_heads)
		return 1;
	m->at = s->heads[index & 63];
	bpf_loop(CHAIN_MAX, clause_step, m, 0);
	return 0;
}

static long clear_step(__u32 index, void *context)
{
	struct scratch *s = scratch_get();

	if (!s || index >= s->n_ids)
		return 1;
	s->bits[(s->ids[index & 63] >> 6) & 127] = 0;
	return 0;
}

/* Finds the best clause for the program that `current` has just begun to run. */
static __always_inline void match_exec(struct candidate *m, const struct config *c, __u32 exe_head, struct mm_struct *mm,
				       __u8 *proc_flags)
{
	struct scratch *s = scratch_get();
	struct arg_walk w = {.slot = c->match_slot};

	if (!s)
		return;
	s->n_ids = 0;
	s->n_heads = 0;
	if (c->arg_patterns[w.slot & 1]) {
		w.at = BPF_CORE_READ(mm, arg_start);
		w.end = BPF_CORE_READ(mm, arg_end);
		bpf_loop(ARGS_MAX, arg_step, &w, 0);
	}
	if (c->env_patterns[c->match_slot & 1]) {
		w.slot = c->match_slot + ENV_SLOT;
		w.cut = 0;
		w.at = BPF_CORE_READ(mm, env_start);
		w.end = BPF_CORE_READ(mm, env_end);
		bpf_loop(ARGS_MAX, arg_step, &w, 0);
	}
	if (w.unread) {
		count(COUNT_ARGS_CUT);
		*proc_flags |= PROC_ARGS_CUT;
	}
	match_chain(m, c->any_head[c->match_slot & 1]);
	match_chain(m, exe_head);
	bpf_loop(64, head_step, m, 0);
	bpf_loop(64, clear_step, NULL, 0);
}

/* ---- cgroups ---- */

struct cgroup_match_walk {
	struct candidate *m;
	__u32 level;
	__u32 length; /* of the text in scratch.cgroup.text, without NUL */
};

/* Does the tail of the text equal the pattern's suffix? */
static __always_inline bool suffix_equal(struct scratch *s, const struct cgroup_pattern *p, __u32 length)
{
	__u32 n = p->suffix_length, at;
	char tail[64] = {};
	int i;

	if (n == 0)
		return true;
	if (n > 63 || length < (__u32)p->prefix_length + n || length >= PATTERN_MAX - 3) /* cut? */
		return false;
	at = length - n;
	bpf_probe_read_kernel(tail, n & 63, &s->cgroup.text[at & 255]);
	for (i = 0; i < 8; i++)
		if (((__u64 *)tail)[i] != ((const __u64 *)p->suffix)[i])
			return false;
	return true;
}

static __always_inline void cgroup_patterns(struct scratch *s, __u8 slot, __u8 kind, __u32 length, __u32 level)
{
	struct cgroup_pattern_val *v;
	int i;

	s->cgroup.prefixlen = 8 * 256;
	s->cgroup.slot = slot;
	s->cgroup.kind = kind;
	v = bpf_map_lookup_elem(&cgroup_match, &s->cgroup);
	if (!v)
		return;
	for (i = 0; i < NESTED_MAX; i++) {
		__u32 id, key, n = s->label.n_patterns;
		struct cgroup_pattern *p;

		if (i >= v->n)
			break;
		id = v->patterns[i];
		key = (slot & 1) * CGROUP_PATTERN_MAX + id;
		p = bpf_map_lookup_elem(&cgroup_pattern, &key);
		if (!p || id == 0 || id >= CGROUP_PATTERN_MAX || (p->level && p->level != level))
			continue;
		if (!p->exact && !suffix_equal(s, p, length))
			continue;
		if (n >= CGROUP_PATTERNS || s->n_heads >= 64) {
			count(COUNT_CGROUP_FULL);
			break;
		}
		s->label.patterns[n & (CGROUP_PATTERNS - 1)] = id;
		s->label.n_patterns = n + 1;
		s->heads[s->n_heads & 63] = p->head;
		s->n_heads += 1;
	}
}

#endif
