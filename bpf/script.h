/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * script.h: which program an interpreter runs.
 *  1. The #! file itself. The exec has let go of it, but what a task closes is put away only when it returns to user
 *     space, so it is still among the task's works: the oldest of them that was opened to be executed.
 *  2. Else the arguments of a known interpreter name it. The text of a path is hashed up from its end, then the working
 *     folder (or the task's root) upwards. It may run over a symbolic link, so what no clause knows is not known to be
 *     something else: SCRIPT_UNSURE, and user space decides.
 * Which names are interpreters and what their options mean is core/interpreter.ts's; `scriptFileOf` there is the same walk.
 */
#ifndef POSTERN_SCRIPT_H
#define POSTERN_SCRIPT_H

#include "path.h"

#define OPTIONS_MAX 4096  /* arguments that are looked at before the script */
#define WORKS_MAX 1024	  /* files that an exec closes */
#define FLAG_OPENED_TO_EXEC 0x20 /* __FMODE_EXEC in f_flags: open() cannot set it */

struct inode;
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct callback_head {
	struct callback_head *next;
};
struct task_struct___works {
	struct callback_head *task_works;
};
struct file___opened {
	struct inode *f_inode;
	unsigned int f_flags;
};
struct file___works {
	struct callback_head f_task_work;
};
struct file___rcu { /* before 6.8 */
	struct callback_head f_rcuhead;
};
struct dentry___inode {
	struct inode *d_inode;
};
struct fs_struct___script {
	struct path root;
	struct path pwd;
};
struct linux_binprm___script {
	const char *interp;
};
#pragma clang attribute pop

struct works_walk {
	struct callback_head *at;
	struct file *found;
};

static long works_step(__u32 index, void *context)
{
	struct works_walk *w = context;
	struct callback_head *at = w->at;
	struct file___opened *opened;
	struct dentry___inode *dentry;
	struct inode *inode;
	void *file;

	if (!at)
		return 1;
	w->at = BPF_CORE_READ(at, next);
	if (bpf_core_field_exists(struct file___works, f_task_work))
		file = (void *)at - bpf_core_field_offset(struct file___works, f_task_work);
	else
		file = (void *)at - bpf_core_field_offset(struct file___rcu, f_rcuhead);
	opened = file;
	if (!(BPF_CORE_READ(opened, f_flags) & FLAG_OPENED_TO_EXEC))
		return 0;
	inode = BPF_CORE_READ(opened, f_inode);
	dentry = (void *)BPF_CORE_READ((struct file *)file, f_path.dentry);
	if (inode && inode == BPF_CORE_READ(dentry, d_inode)) /* it is a file, and no other work */
		w->found = file;
	return 0;
}

/* NULL when it is gone: a task with io_uring may run its works within the exec. */
static __always_inline struct file *script_file(struct task_struct *task)
{
	struct works_walk w = {.at = BPF_CORE_READ((struct task_struct___works *)task, task_works)};

	bpf_loop(WORKS_MAX, works_step, &w, 0);
	return w.at ? NULL : w.found;
}

static __always_inline struct exe_val *exe_find(__u64 hash, __u32 slot, __u32 kind)
{
	struct exe_key key = {.hash = hash, .slot = slot, .kind = kind};

	return hash ? bpf_map_lookup_elem(&exe_match, &key) : NULL;
}

struct script_walk {
	unsigned long at, end;
	unsigned long found; /* where the argument begins that names the script */
	__u32 kind; /* enum interpreter */
	__u32 seen;
	__u32 next; /* enum option_action of the option before */
	__u32 cut;  /* inside an argument longer than the buffer */
};

/* `-c` among the letters of an option: the program is a text. An `o` at its end takes a value. */
static __always_inline __u32 shell_option(const struct scratch *s)
{
	bool has_c = false;
	char last = 0;
	int i;

	for (i = 1; i < 16; i++) {
		char letter = s->arg.text[i];

		if (!letter)
			break;
		if (letter == '-')
			return 0;
		has_c |= letter == 'c';
		last = letter;
	}
	if (has_c && s->arg.text[0] == '-')
		return OPTION_ENDS;
	return last == 'o' || last == 'O' ? OPTION_TAKES_VALUE : 0;
}

static long script_step(__u32 index, void *context)
{
	struct script_walk *w = context;
	struct scratch *s = scratch_get();
	unsigned long start = w->at;
	struct arg_val *option;
	__u32 action = 0;
	long length;
	char first;

	if (!s || w->at >= w->end)
		return 1;
	__builtin_memset(s->arg.text, 0, sizeof(s->arg.text));
	length = bpf_probe_read_user_str(s->arg.text, sizeof(s->arg.text), (void *)w->at);
	if (length <= 0)
		return 1;
	if (w->cut) {
		w->cut = length == sizeof(s->arg.text);
		w->at += w->cut ? length - 1 : length;
		return 0;
	}
	if (length == sizeof(s->arg.text)) {
		char after = 0;

		bpf_probe_read_user(&after, 1, (void *)(w->at + length - 1));
		w->cut = after != 0;
	}
	w->at += w->cut ? length - 1 : length;
	if (w->seen++ == 0)
		return 0; /* argv[0] */
	if (w->next == OPTION_TAKES_SCRIPT) {
		w->found = start;
		return 1;
	}
	if (w->next == OPTION_TAKES_VALUE) {
		w->next = 0;
		return 0;
	}
	first = s->arg.text[0];
	if (first != '-' && !(first == '+' && w->kind == INTERPRETER_SHELL) && !(first == '@' && w->kind == INTERPRETER_JAVA)) {
		if (w->kind != INTERPRETER_JAVA && first)
			w->found = start;
		return 1;
	}
	if (w->kind == INTERPRETER_SHELL)
		action = shell_option(s);
	if (!action && !w->cut) {
		s->arg.slot = OPTION_SLOT + w->kind;
		option = bpf_map_lookup_elem(&arg_match, &s->arg);
		if (option)
			action = option->pattern;
	}
	if (action == OPTION_ENDS)
		return 1;
	w->next = action;
	return 0;
}

struct text_walk {
	__u64 hash;
	__u32 length; /* of the text in scratch.path */
	__u32 end;    /* of the component that is being looked at */
	__u32 bad;    /* "..", a name too long: only user space can say where it leads */
};

static __always_inline void component(struct text_walk *w, struct scratch *s, __u32 start)
{
	__u32 length = w->end - start;
	const char *name = &s->path[start & (SCRIPT_MAX - 1)];

	if (length == 0 || (length == 1 && name[0] == '.'))
		return;
	if (length > 255 || (length == 2 && name[0] == '.' && name[1] == '.')) {
		w->bad = 1;
		return;
	}
	__builtin_memset(s->text, 0, sizeof(s->text));
	bpf_probe_read_kernel(s->text, length & 255, name);
	w->hash = hash_name(w->hash, s, length & 255);
}

/* Byte by byte from the end. */
static long text_step(__u32 index, void *context)
{
	struct text_walk *w = context;
	struct scratch *s = scratch_get();
	__u32 at = w->length - 1 - index;

	if (!s || index >= w->length || w->bad)
		return 1;
	if (s->path[at & (SCRIPT_MAX - 1)] != '/')
		return 0;
	component(w, s, at + 1);
	w->end = at;
	return 0;
}

/* The hash of the file that the text in scratch.path names if no component is a symbolic link; 0 = cannot be told. */
static __always_inline __u64 text_path_hash(struct task_struct *task, long size, const struct config *c)
{
	struct fs_struct___script *fs = (void *)BPF_CORE_READ(task, fs);
	struct text_walk w = {.hash = c->hash_key};
	struct path_walk up = {.name = 1};
	struct scratch *s = scratch_get();
	struct path *from;

	if (!s || size <= 1 || size >= SCRIPT_MAX)
		return 0;
	w.length = w.end = size - 1;
	bpf_loop(SCRIPT_MAX, text_step, &w, 0);
	from = &fs->root;
	if (s->path[0] != '/') {
		component(&w, s, 0);
		from = &fs->pwd;
	}
	if (w.bad || w.hash == c->hash_key)
		return 0;
	up.hash = w.hash;
	return walk_up(&up, BPF_CORE_READ(from, mnt), BPF_CORE_READ(from, dentry), c);
}

/* Text of a path → scratch.m.script; `user` where it lies in the process. */
__noinline int script_text(__u64 text, __u32 user)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct scratch *s = scratch_get();
	struct config *c = config_get();
	long size;

	if (!s || !c)
		return 0;
	if (user)
		size = bpf_probe_read_user_str(s->path, SCRIPT_MAX, (void *)text);
	else
		size = bpf_probe_read_kernel_str(s->path, SCRIPT_MAX, (void *)text);
	s->m.script = text_path_hash(task, size, c);
	s->m.script_state = SCRIPT_UNSURE;
	return 0;
}

/* The argument that names the script; 0 = none. */
static __always_inline unsigned long script_argument(struct mm_struct *mm, __u32 kind)
{
	struct script_walk w = {.kind = kind};

	w.at = BPF_CORE_READ(mm, arg_start);
	w.end = BPF_CORE_READ(mm, arg_end);
	bpf_loop(OPTIONS_MAX, script_step, &w, 0);
	return w.found;
}

/* What runs, of an exec that has succeeded: scratch.m.script and script_state. Overwrites scratch.file. */
__noinline int script_find(__u64 filename, __u64 interp, __u32 kind)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct scratch *s = scratch_get();
	unsigned long text;

	if (!s)
		return 0;
	if (filename == interp) {
		text = kind ? script_argument(BPF_CORE_READ(task, mm), kind) : 0;
		if (text)
			script_text(text, 1);
		return 0;
	}
	text = (unsigned long)script_file(task);
	if (!text) {
		script_text(filename, 0);
		return 0;
	}
	file_hash(text);
	s->m.script = s->file;
	s->m.script_state = s->file_cut ? SCRIPT_UNSURE : SCRIPT_KNOWN;
	return 0;
}

#endif
