/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * process.bpf.c: process → identity, decided before the first socket.
 *   exec                own clause, by resolved path, script, arguments, user and cgroup
 *   fork                the child keeps the label; a gateway does not hand on the one it gained itself
 *   exit                the entry goes with the last thread
 *   cgroup_attach_task  only an unlabelled mover or a gateway re-decides; a labelled process has no way out by moving
 *   cgroup_mkdir/rmdir  units and cgroup paths, before a task is inside
 *
 * Who wins (legacy-workloads §3.5): a pin; then an own exec clause against what the process has: against a cgroup
 * label by rank, against an inherited one always, unless only the new claim is spoofable. An inherited label loses to
 * a registered cgroup below the one where it was gained, and beats those at or above it.
 *
 * What cron or supervisord starts is not "cron", although it is in that unit's cgroup: the label that the cgroup gives
 * to a main program which starts jobs ends at the exec of a job (LAUNCH_NOBODY). Main program is only what runs first
 * after somebody unlabelled placed it there: a workload that runs such a program stays what it is, with all it starts.
 *
 * A workload gains no power by what it runs (it may preload its own code): gateway, and ahead of policy, is the main
 * program of a unit as it was started, whoever has no label yet, what one that had the power before execs, and who holds
 * CAP_SYS_ADMIN over the host: he could detach all this.
 *
 * PROC_PENDING: a clause that only user space can finish would win. Meanwhile the process keeps the label that it has;
 * without one it is RESERVED_INIT, which counts as no label wherever a label is decided.
 */
#include "label.h"
#include "event.h"
#include "match.h"

static __always_inline struct cgroup *task_cgroup(struct task_struct *task)
{
	return BPF_CORE_READ(task, cgroups, dfl_cgrp);
}

static __always_inline __u64 cgroup_id(struct cgroup *cgrp)
{
	return BPF_CORE_READ(cgrp, kn, id);
}

static __always_inline void proc_store(__u32 tgid, struct proc *p)
{
	if (bpf_map_update_elem(&proc, &tgid, p, BPF_ANY))
		count(COUNT_PROC_FULL);
}

/* `postern run`; a job without a name carries the flag too, so that its sockets do not ask the cgroup. */
static __always_inline bool is_pinned(const struct proc *p)
{
	return (p->flags & PROC_PINNED) && !(p->launch & LAUNCH_NOBODY);
}

/* Does the label that the cgroup gives reach this process? */
static __always_inline bool reaches(const struct cgroup_label *c, const struct proc *p)
{
	return c && c->identity && !((p->launch & LAUNCH_NOBODY) && c->gained == p->cgroup);
}

static __always_inline void somebody(struct proc *p)
{
	if (p->launch & LAUNCH_NOBODY)
		p->flags &= ~PROC_PINNED;
	p->launch &= ~LAUNCH_NOBODY;
}

/* The label that the cgroup gives, as an entry of `proc`. */
static __always_inline void from_cgroup(struct proc *p, const struct cgroup_label *c, __u32 tgid)
{
	somebody(p);
	p->identity = c->identity;
	p->rank = c->rank;
	p->clause = c->clause;
	p->gained_by = tgid;
	p->cgroup = c->gained;
	p->level = c->level;
	p->origin = ORIGIN_CGROUP;
	p->flags &= ~(PROC_SPOOFABLE | PROC_NO_INHERIT);
	if (c->flags & CGROUP_SPOOFABLE)
		p->flags |= PROC_SPOOFABLE;
}

static __always_inline void unlabel(struct proc *p)
{
	p->identity = p->rank = p->clause = p->gained_by = 0;
	p->cgroup = 0;
	p->level = 0;
	p->origin = ORIGIN_NONE;
	p->late = 0;
	p->flags &= PROC_GATEWAY | PROC_FAILSAFE | PROC_SELF | PROC_PINNED | PROC_ARGS_CUT;
}

static __always_inline bool labelled(const struct proc *p)
{
	return p->identity && p->identity != RESERVED_INIT;
}

/* Without `filename`: a fork. Who is pending waits for the agent, so it is woken. */
static __always_inline void exec_report(struct task_struct *task, const char *filename, const struct proc *p,
					__u32 uid, __u64 cgroup)
{
	struct exec_event *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);

	if (!e) {
		count(COUNT_EVENT_LOST);
		return;
	}
	__builtin_memset(e, 0, sizeof(*e));
	header_init(&e->header, EVENT_EXEC, sizeof(*e));
	e->tgid = BPF_CORE_READ(task, tgid);
	e->ppid = BPF_CORE_READ(task, real_parent, tgid);
	e->uid = uid;
	e->identity = p->identity;
	e->clause = p->clause;
	e->origin = p->origin;
	e->flags = p->flags;
	e->cgroup = cgroup;
	e->start_ns = BPF_CORE_READ(task, group_leader, start_boottime);
	bpf_get_current_comm(e->comm, sizeof(e->comm));
	if (filename)
		bpf_probe_read_kernel_str(e->filename, sizeof(e->filename), filename);
	else
		e->forked = 1;
	if (p->flags & PROC_PENDING)
		bpf_ringbuf_submit(e, BPF_RB_FORCE_WAKEUP);
	else
		event_submit(e);
}

/* Would a clause of this rank be the label of the process? */
static __always_inline bool exec_wins(const struct proc *p, __u32 rank, __u8 flags)
{
	if (!labelled(p))
		return true;
	if (p->origin == ORIGIN_CGROUP)
		return rank > p->rank;
	return !(flags & CLAUSE_SPOOFABLE) || (p->flags & PROC_SPOOFABLE);
}

static __always_inline bool owns_host(struct task_struct *task)
{
	const struct cred *cred = BPF_CORE_READ(task, cred);
	__u64 caps = 0;

	bpf_core_read(&caps, sizeof(caps), &cred->cap_effective);
	return (caps >> CAP_SYS_ADMIN & 1) && BPF_CORE_READ(cred, user_ns, level) == 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
	struct config *c = config_get();
	__u32 tgid = BPF_CORE_READ(task, tgid);
	struct exe_val *exe = NULL, *script = NULL, *interpreter;
	struct scratch *s = scratch_get();
	struct proc next = {}, *now;
	struct cgroup_label *cg;
	struct candidate *m;
	bool waits = false;
	__u32 cut = 0, exe_flags = 0;
	__u8 powers;

	if (!c || !s || !in_scope(c))
		return 0;
	m = &s->m;
	__builtin_memset(m, 0, sizeof(*m));
	m->slot = c->match_slot & 1;
	m->uid = BPF_CORE_READ(task, cred, euid.val);
	m->cgroup = cgroup_id(task_cgroup(task));
	if (BPF_CORE_READ(task, nsproxy, mnt_ns, user_ns, level) == 0) {
		file_hash((__u64)BPF_CORE_READ(bprm, file));
		m->exe = s->file;
		cut = s->file_cut;
	}
	if (m->exe) {
		m->name = s->file_name;
		exe = exe_find(m->exe, m->slot, EXE_PATH);
		if (c->scripts[m->slot & 1]) {
			interpreter = exe_find(m->name, m->slot, EXE_NAME);
			script_find((__u64)BPF_CORE_READ(bprm, filename),
				    (__u64)BPF_CORE_READ((struct linux_binprm___script *)bprm, interp),
				    interpreter ? interpreter->flags : INTERPRETER_NONE);
			script = exe_find(m->script, m->slot, EXE_SCRIPT);
			if (script)
				m->script_state = SCRIPT_KNOWN;
		}
	}

	now = bpf_map_lookup_elem(&proc, &tgid);
	if (now)
		next = *now;
	powers = next.launch & LAUNCH_FRESH ? PROC_GATEWAY | PROC_FAILSAFE : next.flags & (PROC_GATEWAY | PROC_FAILSAFE);
	next.flags &= ~(PROC_GATEWAY | PROC_FAILSAFE | PROC_ARGS_CUT | PROC_PENDING);
	next.late = 0;
	if (next.identity == RESERVED_INIT)
		next.identity = next.rank = next.gained_by = 0;
	cut |= match_exec((__u64)BPF_CORE_READ(task, mm), exe ? exe->head : 0, script ? script->head : 0);
	if (cut) {
		next.flags |= PROC_ARGS_CUT;
		m->late = ~0U;
		m->late_flags = 0;
	}
	if (exe)
		exe_flags = exe->flags;
	if (script)
		exe_flags |= script->flags & ~PROC_FAILSAFE;
	next.flags |= exe_flags & PROC_GATEWAY;
	if (next.origin == ORIGIN_EXEC || next.origin == ORIGIN_BACKFILL)
		next.origin = ORIGIN_INHERITED; /* from the program before: what this one starts has it too */
	if (!(exe_flags & EXE_EXECUTOR)) {
		__u8 main = next.launch & (LAUNCH_FRESH | LAUNCH_JOBS);

		next.launch &= ~(LAUNCH_FRESH | LAUNCH_JOBS);
		if (main && (exe_flags & EXE_JOBS)) {
			next.launch |= LAUNCH_JOBS;
		} else if ((main & LAUNCH_JOBS) && next.origin == ORIGIN_CGROUP) {
			__u64 refused = next.cgroup;

			unlabel(&next);
			next.cgroup = refused;
			next.flags |= PROC_PINNED;
			next.launch = LAUNCH_NOBODY;
		}
	}
	if ((exe_flags & PROC_FAILSAFE) && m->uid == 0)
		next.flags |= PROC_FAILSAFE;

	cg = bpf_map_lookup_elem(&cgroup_label, &m->cgroup);
	if (!next.identity && !is_pinned(&next) && reaches(cg, &next))
		from_cgroup(&next, cg, tgid);
	if (labelled(&next) && !owns_host(task))
		next.flags &= powers | ~(PROC_GATEWAY | PROC_FAILSAFE);
	if (!is_pinned(&next)) {
		waits = (m->late > m->rank && exec_wins(&next, m->late, m->late_flags)) ||
			(cg && (cg->flags & CGROUP_PENDING));
		if (m->rank && exec_wins(&next, m->rank, m->flags)) {
			somebody(&next);
			next.identity = m->identity;
			next.rank = m->rank;
			next.clause = m->clause;
			next.gained_by = tgid;
			next.cgroup = m->cgroup;
			next.level = BPF_CORE_READ(task_cgroup(task), level);
			next.origin = ORIGIN_EXEC;
			next.flags &= ~(PROC_SPOOFABLE | PROC_NO_INHERIT);
			if (m->flags & CLAUSE_SPOOFABLE)
				next.flags |= PROC_SPOOFABLE;
			if (m->flags & CLAUSE_NO_INHERIT)
				next.flags |= PROC_NO_INHERIT;
		}
	}
	if (waits && !(next.flags & PROC_SELF)) {
		next.flags |= PROC_PENDING;
		if (!next.identity) {
			next.identity = RESERVED_INIT;
			next.rank = ~0U; /* nobody's port is refused to it before it is known */
			next.gained_by = tgid;
		}
	}
	if (next.identity || next.flags)
		proc_store(tgid, &next);
	else if (now)
		bpf_map_delete_elem(&proc, &tgid);
	exec_report(task, BPF_CORE_READ(bprm, filename), &next, m->uid, m->cgroup);
	return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
	__u32 from = BPF_CORE_READ(parent, tgid), to = BPF_CORE_READ(child, tgid);
	struct proc next = {}, *p;

	if (BPF_CORE_READ(child, pid) != to)
		return 0;
	p = bpf_map_lookup_elem(&proc, &from);
	if (p) {
		bool own = p->gained_by == from && p->origin != ORIGIN_INHERITED;

		next = *p;
		next.flags &= ~(PROC_SELF | PROC_ARGS_CUT);
		if (next.flags & (PROC_GATEWAY | PROC_NO_INHERIT))
			next.flags &= ~PROC_PENDING;
		next.launch &= ~LAUNCH_FRESH;
		if (next.identity && !is_pinned(&next) &&
		    ((next.flags & PROC_NO_INHERIT) ? next.gained_by == from : (next.flags & PROC_GATEWAY) && own))
			unlabel(&next);
		else if (next.origin == ORIGIN_EXEC || next.origin == ORIGIN_BACKFILL)
			next.origin = ORIGIN_INHERITED;
	}
	if (!next.identity) {
		__u64 id = cgroup_id(task_cgroup(child));
		struct cgroup_label *c = bpf_map_lookup_elem(&cgroup_label, &id);

		if (!is_pinned(&next) && reaches(c, &next)) {
			from_cgroup(&next, c, to);
			if (!p || !labelled(p))
				next.launch |= LAUNCH_FRESH;
		}
	}
	if (next.identity || next.flags)
		proc_store(to, &next);
	if (next.flags & PROC_PENDING)
		exec_report(child, NULL, &next, BPF_CORE_READ(child, cred, euid.val), cgroup_id(task_cgroup(child)));
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task)
{
	__u32 tgid = BPF_CORE_READ(task, tgid), identity = 0;
	struct exit_event *e;
	struct proc *p;

	if (BPF_CORE_READ(task, signal, live.counter) > 0)
		return 0;
	p = bpf_map_lookup_elem(&proc, &tgid);
	if (!p)
		return 0;
	identity = p->identity;
	bpf_map_delete_elem(&proc, &tgid);
	if (!identity)
		return 0;
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e) {
		count(COUNT_EVENT_LOST);
		return 0;
	}
	header_init(&e->header, EVENT_EXIT, sizeof(*e));
	e->tgid = tgid;
	e->identity = identity;
	event_submit(e);
	return 0;
}

/* Is the label that `to` gives gained below the cgroup in which the process gained its own? */
static __always_inline bool gained_below(const struct cgroup_label *c, const struct proc *p, struct cgroup *to)
{
	int i;

	if (c->level <= p->level)
		return false;
	for (i = 0; i < 32 && to && BPF_CORE_READ(to, level) > p->level; i++)
		to = (void *)BPF_CORE_READ(to, self.parent) - bpf_core_field_offset(struct cgroup, self);
	return to && cgroup_id(to) == p->cgroup;
}

/* What was met at an own exec stands against a cgroup by rank, what was inherited gives way only to one below. */
static __always_inline bool replaces(const struct cgroup_label *c, const struct proc *p, struct cgroup *to)
{
	bool spoofable = c->flags & CGROUP_SPOOFABLE;

	if (spoofable != !!(p->flags & PROC_SPOOFABLE))
		return !spoofable;
	return p->origin == ORIGIN_INHERITED ? gained_below(c, p, to) : c->rank > p->rank;
}

SEC("tp_btf/cgroup_attach_task")
int BPF_PROG(on_attach, struct cgroup *to, const char *path, struct task_struct *task, bool threadgroup)
{
	__u32 mover = bpf_get_current_pid_tgid() >> 32, tgid = BPF_CORE_READ(task, tgid);
	struct proc next = {}, *m, *now;
	struct cgroup_label *c;
	__u64 id;

	if (BPF_CORE_READ(to, root, hierarchy_id) != 0 || BPF_CORE_READ(task, pid) != tgid)
		return 0;
	m = bpf_map_lookup_elem(&proc, &mover);
	if (m && labelled(m) && !(m->flags & (PROC_GATEWAY | PROC_SELF)))
		return 0;
	now = bpf_map_lookup_elem(&proc, &tgid);
	if (now)
		next = *now;
	if (is_pinned(&next))
		return 0;
	id = cgroup_id(to);
	c = bpf_map_lookup_elem(&cgroup_label, &id);
	if (c && !c->identity)
		c = NULL;
	if (!labelled(&next) || next.origin == ORIGIN_CGROUP) {
		/* systemd attaches once more after the exec, to where the process is already */
		bool same = c && labelled(&next) && next.cgroup == c->gained;

		if (c && !reaches(c, &next))
			return 0;
		somebody(&next);
		if (c) {
			from_cgroup(&next, c, tgid);
			if (!same)
				next.launch = !m || !labelled(m) ? LAUNCH_FRESH : 0;
		} else if (next.identity != RESERVED_INIT) {
			unlabel(&next);
		}
	} else if (c && replaces(c, &next, to)) {
		from_cgroup(&next, c, tgid);
	} else {
		return 0;
	}
	if (next.identity || next.flags)
		proc_store(tgid, &next);
	else if (now)
		bpf_map_delete_elem(&proc, &tgid);
	return 0;
}

static __always_inline void cgroup_report(__u64 id, __u32 identity, __u8 level, bool removed, const char *path)
{
	struct cgroup_event *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);

	if (!e) {
		count(COUNT_EVENT_LOST);
		return;
	}
	__builtin_memset(e, 0, sizeof(*e));
	header_init(&e->header, EVENT_CGROUP, sizeof(*e));
	e->id = id;
	e->identity = identity;
	e->removed = removed;
	e->level = level;
	bpf_probe_read_kernel_str(e->path, sizeof(e->path), path);
	event_submit(e);
}

/* x.service or x.scope */
static __always_inline bool is_unit_name(struct scratch *s, const char *name)
{
	long length = bpf_probe_read_kernel_str(s->text, sizeof(s->text), name) - 1;
	__u64 tail = 0;

	if (length >= 8) {
		bpf_probe_read_kernel(&tail, 8, &s->text[(length - 8) & 255]);
		if (tail == 0x656369767265732eULL) /* ".service" */
			return true;
	}
	if (length < 6)
		return false;
	tail = 0;
	bpf_probe_read_kernel(&tail, 6, &s->text[(length - 6) & 255]);
	return tail == 0x65706f63732eULL; /* ".scope" */
}

/* A socket unit's listener is the service's that it starts: by its name x.service, or with Accept=yes x@.service. */
static __always_inline void socket_unit_patterns(struct scratch *s, __u8 slot, __u32 length, __u32 level)
{
	__u64 tail = 0, service = 0x656369767265732eULL; /* ".service" */
	__u32 at = length - 7;

	if (length < 8 || length > 240)
		return;
	bpf_probe_read_kernel(&tail, sizeof(tail), &s->cgroup.text[(length - 8) & 255]);
	if (tail >> 8 != 0x74656b636f732eULL) /* ".socket" */
		return;
	bpf_probe_read_kernel(&s->cgroup.text[at & 255], sizeof(service), &service);
	cgroup_patterns(s, slot, CGROUP_UNIT, at + 8, level);
	s->cgroup.text[at & 255] = '@';
	bpf_probe_read_kernel(&s->cgroup.text[(at + 1) & 255], sizeof(service), &service);
	cgroup_patterns(s, slot, CGROUP_UNIT, at + 9, level);
}

SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(on_mkdir, struct cgroup *cgrp, const char *path)
{
	struct config *c = config_get();
	struct scratch *s = scratch_get();
	struct candidate *m;
	struct cgroup_label *parent;
	struct cgroup *up;
	__u32 level;
	__u64 id, parent_id;
	long length;

	if (!c || !s || BPF_CORE_READ(cgrp, root, hierarchy_id) != 0)
		return 0;
	m = &s->m;
	__builtin_memset(m, 0, sizeof(*m));
	id = cgroup_id(cgrp);
	level = BPF_CORE_READ(cgrp, level);
	up = (void *)BPF_CORE_READ(cgrp, self.parent) - bpf_core_field_offset(struct cgroup, self);
	parent_id = cgroup_id(up);
	parent = bpf_map_lookup_elem(&cgroup_label, &parent_id);
	__builtin_memset(&s->label, 0, sizeof(s->label));
	if (parent)
		s->label = *parent;
	s->n_heads = 0;
	s->n_ids = 0;
	m->slot = c->match_slot;
	m->rank = s->label.rank;

	__builtin_memset(s->cgroup.text, 0, sizeof(s->cgroup.text));
	length = bpf_probe_read_kernel_str(s->cgroup.text, sizeof(s->cgroup.text), path + 1);
	if (length > 0)
		cgroup_patterns(s, c->match_slot & 1, CGROUP_PATH, length - 1, level);
	__builtin_memset(s->cgroup.text, 0, sizeof(s->cgroup.text));
	length = bpf_probe_read_kernel_str(s->cgroup.text, sizeof(s->cgroup.text), BPF_CORE_READ(cgrp, kn, name));
	if (length > 0) {
		if (!(s->label.flags & CGROUP_INSIDE_UNIT)) {
			if (!(cgroup_patterns(s, c->match_slot & 1, CGROUP_UNIT, length - 1, level) & PATTERN_ELSEWHERE))
				socket_unit_patterns(s, c->match_slot & 1, length - 1, level);
		}
		if (is_unit_name(s, BPF_CORE_READ(cgrp, kn, name)))
			s->label.flags |= CGROUP_INSIDE_UNIT;
	}
	if (s->label.n_patterns) {
		/* the clauses look the patterns up under the cgroup's own id */
		if (bpf_map_update_elem(&cgroup_label, &id, &s->label, BPF_ANY))
			count(COUNT_CGROUP_FULL);
		m->cgroup = id;
		bpf_loop(HEADS_MAX, head_step, NULL, 0);
	}
	if (m->clause) {
		s->label.identity = m->identity;
		s->label.rank = m->rank;
		s->label.clause = m->clause;
		s->label.level = level;
		s->label.gained = id;
		s->label.flags &= ~CGROUP_SPOOFABLE;
		if (m->flags & CLAUSE_SPOOFABLE)
			s->label.flags |= CGROUP_SPOOFABLE;
	}
	if (c->late_cgroups[m->slot & 1])
		s->label.flags |= CGROUP_PENDING;
	if ((s->label.identity || s->label.flags || s->label.n_patterns) &&
	    bpf_map_update_elem(&cgroup_label, &id, &s->label, BPF_ANY))
		count(COUNT_CGROUP_FULL);
	cgroup_report(id, s->label.identity, level, false, path);
	return 0;
}

SEC("tp_btf/cgroup_rmdir")
int BPF_PROG(on_rmdir, struct cgroup *cgrp, const char *path)
{
	__u64 id;

	if (BPF_CORE_READ(cgrp, root, hierarchy_id) != 0)
		return 0;
	id = cgroup_id(cgrp);
	bpf_map_delete_elem(&cgroup_label, &id);
	cgroup_report(id, 0, BPF_CORE_READ(cgrp, level), true, path);
	return 0;
}
