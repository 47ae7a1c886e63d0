/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * match.h: which clause names a process (at exec) or a cgroup (at mkdir). A clause is indexed by its most selective part
 * (an argument, else the executable, else nothing), so that the cost follows what the process looks like, not how
 * many clauses there are. The clause of the highest rank wins; ranks are a total order made by core/match-precedence.
 */
#ifndef POSTERN_MATCH_H
#define POSTERN_MATCH_H

#include "script.h"

#define CHAIN_MAX 4096
#define ARGS_MAX 65536

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

/* All patterns of the arguments and the environment were met. A global function: the verifier looks at it once. */
__noinline int args_met(struct clause *c)
{
	struct scratch *s = scratch_get();
	int i;

	if (!s || !c)
		return 0;
	for (i = 0; i < CLAUSE_ARGS; i++) {
		__u32 id = c->args[i];

		if (id && !(s->bits[(id >> 6) & 127] & (1ULL << (id & 63))))
			return 0;
	}
	return 1;
}

__noinline int cgroups_met(struct clause *c, __u64 cgroup)
{
	struct cgroup_label *label;
	int i;

	if (!c)
		return 0;
	if (!c->cgroups[0])
		return 1;
	label = bpf_map_lookup_elem(&cgroup_label, &cgroup);
	for (i = 0; i < CLAUSE_CGROUPS; i++)
		if (c->cgroups[i] && !has_cgroup_pattern(label, c->cgroups[i]))
			return 0;
	return 1;
}

static long clause_step(__u32 index, void *context)
{
	struct scratch *s = scratch_get();
	struct candidate *m;
	struct clause *c;
	__u32 at, key;

	if (!s)
		return 1;
	m = &s->m;
	at = m->at - 1;
	if (at >= CLAUSES_MAX)
		return 1;
	key = (m->slot & 1) * CLAUSES_MAX + at;
	c = bpf_map_lookup_elem(&clauses, &key);
	if (!c)
		return 1;
	m->at = c->next;
	if (c->rank <= m->rank)
		return 1; /* a chain is in falling rank */
	if ((c->flags & CLAUSE_EXE) && c->exe != ((c->flags & CLAUSE_NAME) ? m->name : m->exe))
		return 0;
	if ((c->flags & CLAUSE_SCRIPT) && c->script != m->script)
		return 0;
	if (c->script_state > m->script_state)
		return 0;
	if ((c->flags & CLAUSE_UID) && c->uid != m->uid)
		return 0;
	if (!args_met(c) || !cgroups_met(c, m->cgroup))
		return 0;
	if (c->flags & CLAUSE_LATE) {
		if (c->rank > m->late) {
			m->late = c->rank;
			m->late_flags = c->flags;
		}
		return 0;
	}
	m->identity = c->identity;
	m->rank = c->rank;
	m->clause = at + 1;
	m->flags = c->flags;
	return 1;
}

static __always_inline void add_head(struct scratch *s, __u32 head)
{
	__u32 n = s->n_heads;

	if (head && n < HEADS_MAX) {
		s->heads[n & (HEADS_MAX - 1)] = head;
		s->n_heads = n + 1;
	}
}

#define MET_TOO_MANY 65

static __always_inline void met(struct scratch *s, __u32 pattern, __u32 head)
{
	__u32 n = s->n_ids;
	__u64 bit = 1ULL << (pattern & 63);
	__u64 *word = &s->bits[(pattern >> 6) & 127];

	if (!pattern || (*word & bit))
		return;
	if (n >= 64) {
		s->n_ids = MET_TOO_MANY;
		return;
	}
	*word |= bit;
	s->ids[n & 63] = pattern;
	s->n_ids = n + 1;
	add_head(s, head);
}

struct arg_walk {
	unsigned long at, end;
	__u32 slot;
	__u32 cut; /* inside an argument longer than PATTERN_MAX - 1 */
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
	if (length <= 0)
		return 1; /* short of the end: the caller sees it */
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

static long head_step(__u32 index, void *context)
{
	struct scratch *s = scratch_get();

	if (!s || index >= s->n_heads)
		return 1;
	s->m.at = s->heads[index & (HEADS_MAX - 1)];
	bpf_loop(CHAIN_MAX, clause_step, NULL, 0);
	return 0;
}

static long clear_step(__u32 index, void *context)
{
	struct scratch *s = scratch_get();

	if (!s || index >= s->n_ids || index >= 64)
		return 1;
	s->bits[(s->ids[index & 63] >> 6) & 127] = 0;
	return 0;
}

/*
 * Finds the best clause for the program that `current` has just begun to run: scratch.m. 1 if something of it could not
 * be seen: then any clause may name it.
 */
__noinline int match_exec(__u64 mm_, __u32 exe_head, __u32 script_head)
{
	struct mm_struct *mm = (void *)mm_;
	struct scratch *s = scratch_get();
	struct config *c = config_get();
	struct arg_walk w = {};
	bool unseen = false;

	if (!s || !c)
		return 1;
	w.slot = s->m.slot & 1;
	s->n_ids = 0;
	s->n_heads = 0;
	add_head(s, c->any_head[w.slot]);
	add_head(s, exe_head);
	add_head(s, script_head);
	if (s->m.script_state == SCRIPT_UNSURE)
		add_head(s, c->unsure_head[w.slot]);
	if (c->arg_patterns[w.slot]) {
		w.at = BPF_CORE_READ(mm, arg_start);
		w.end = BPF_CORE_READ(mm, arg_end);
		bpf_loop(ARGS_MAX, arg_step, &w, 0);
		unseen |= w.at < w.end;
	}
	if (c->env_patterns[w.slot & 1]) {
		w.slot += ENV_SLOT;
		w.cut = 0;
		w.at = BPF_CORE_READ(mm, env_start);
		w.end = BPF_CORE_READ(mm, env_end);
		bpf_loop(ARGS_MAX, arg_step, &w, 0);
		unseen |= w.at < w.end;
	}
	unseen |= s->n_ids == MET_TOO_MANY;
	if (unseen)
		count(COUNT_ARGS_CUT);
	bpf_loop(HEADS_MAX, head_step, NULL, 0);
	bpf_loop(64, clear_step, NULL, 0);
	return unseen;
}

/* ---- cgroups ---- */

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

/* Flags of all patterns that are met. */
static __always_inline __u8 cgroup_patterns(struct scratch *s, __u8 slot, __u8 kind, __u32 length, __u32 level)
{
	struct cgroup_pattern_val *v;
	__u8 flags = 0;
	int i;

	s->cgroup.prefixlen = 8 * 256;
	s->cgroup.slot = slot;
	s->cgroup.kind = kind;
	v = bpf_map_lookup_elem(&cgroup_match, &s->cgroup);
	if (!v)
		return 0;
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
		if (!(p->flags & PATTERN_EXACT) && !suffix_equal(s, p, length))
			continue;
		flags |= p->flags;
		if (n >= CGROUP_PATTERNS) {
			count(COUNT_CGROUP_FULL);
			break;
		}
		s->label.patterns[n & (CGROUP_PATTERNS - 1)] = id;
		s->label.n_patterns = n + 1;
		add_head(s, p->head);
	}
	return flags;
}

#endif
