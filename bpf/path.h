/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * path.h: keyed 64-bit hash of a file's resolved path, component by component from the leaf to the root of the mount
 * tree. Symlinks, relative paths and renames over the file come out right; hard links and chroot copies are other paths.
 * `hash_path` in src/datapath/path-hash.ts computes the same.
 *
 * The walk counts only when it ends on the host's root file system (config.root_dev): a container's /usr/bin/java is
 * not the host's, even under the same path.
 */
#ifndef POSTERN_PATH_H
#define POSTERN_PATH_H

#include "maps.h"

#define PATH_DEPTH 64
#define NAME_WORDS 32
#define HEADS_MAX 128 /* chains of clauses that one exec walks; a power of two */
#define SCRIPT_MAX 1024 /* bytes of a script's path as an argument; a power of two */
#define HASH_MULTIPLIER 0x9e3779b97f4a7c15ULL

/* The best clause that holds, and the best of those that user space must finish. */
struct candidate {
	__u64 exe;
	__u64 name; /* hash of the executable's name alone */
	__u64 script;
	__u64 cgroup;
	__u32 uid;
	__u32 slot;
	__u32 at; /* clause index + 1 */
	__u32 identity;
	__u32 rank;
	__u32 clause;
	__u32 late; /* rank, 0 = none */
	__u8 flags;
	__u8 late_flags;
	__u8 script_state;
};

struct scratch {
	char text[PATTERN_MAX];
	struct arg_key arg;
	struct arg_prefix_key prefix;
	struct cgroup_pattern_key cgroup;
	__u64 bits[128]; /* argument patterns met, by id */
	__u32 heads[HEADS_MAX];
	__u32 ids[64];
	__u32 n_heads;
	__u32 n_ids;
	struct cgroup_label label;
	struct candidate m;
	__u64 file; /* what file_hash found */
	__u64 file_name;
	__u32 file_cut; /* too deep to be followed */
	char path[SCRIPT_MAX + 256]; /* a component is read from anywhere in the first part */
};

/* Working memory of one program run; programs of this family do not nest on one CPU. */
MAP(scratch, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, struct scratch, 1, 0);

static __always_inline struct scratch *scratch_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&scratch, &zero);
}

static __always_inline __u64 hash_mix(__u64 h, __u64 word)
{
	h = (h ^ word) * HASH_MULTIPLIER;
	return h ^ (h >> 29);
}

/* One component, from `text` that is zero behind it. */
static __always_inline __u64 hash_name(__u64 hash, const struct scratch *s, __u32 length)
{
	const __u64 *words = (const __u64 *)s->text;
	__u32 n = (length + 7) / 8;
	int i;

	for (i = 0; i < NAME_WORDS; i++) {
		if (i >= n)
			break;
		hash = hash_mix(hash, words[i]);
	}
	return hash_mix(hash, length);
}

struct path_walk {
	struct dentry *dentry;
	struct mount *mount;
	__u64 hash;
	__u64 name; /* the hash of the last component alone */
	__u32 last_dev; /* file system of the mount that was left last: the root's, when a rootfs lies below it */
	__u32 top_dev;
	__u32 done;
	__u32 detached; /* not reachable from a root: memfd, detached mount */
};

static long path_step(__u32 index, void *context)
{
	struct path_walk *w = context;
	struct scratch *s = scratch_get();
	struct mount *mount = w->mount; /* locals: BPF_CORE_READ would relocate our own struct too */
	struct dentry *dentry = w->dentry, *parent, *root = BPF_CORE_READ(mount, mnt.mnt_root);
	const unsigned char *name;
	__u32 length;

	if (!s)
		return 1;
	if (dentry == root) {
		struct mount *below = BPF_CORE_READ(mount, mnt_parent);
		__u32 dev = BPF_CORE_READ(mount, mnt.mnt_sb, s_dev);

		if (below == mount) {
			w->top_dev = dev;
			w->done = 1;
			return 1;
		}
		w->last_dev = dev;
		w->dentry = BPF_CORE_READ(mount, mnt_mountpoint);
		w->mount = below;
		return 0;
	}
	parent = BPF_CORE_READ(dentry, d_parent);
	if (parent == dentry) {
		w->detached = 1;
		return 1;
	}
	length = BPF_CORE_READ(dentry, d_name.len);
	name = BPF_CORE_READ(dentry, d_name.name);
	if (length > 255)
		return 1;
	__builtin_memset(s->text, 0, sizeof(s->text));
	bpf_probe_read_kernel(s->text, length & 255, name);
	w->hash = hash_name(w->hash, s, length);
	if (!w->name)
		w->name = w->hash;
	w->dentry = parent;
	return 0;
}

/* Goes on from `path` upwards. The hash, or 0 when that does not lie on the host's root. */
static __always_inline __u64 walk_up(struct path_walk *w, struct vfsmount *mnt, struct dentry *dentry, const struct config *c)
{
	w->dentry = dentry;
	w->mount = (void *)mnt - bpf_core_field_offset(struct mount, mnt);
	bpf_loop(PATH_DEPTH, path_step, w, 0);
	if (!w->done) {
		if (!w->detached)
			count(COUNT_PATH_DEEP);
		return 0;
	}
	if ((c->root_is_top ? w->top_dev : w->last_dev) != c->root_dev)
		return 0;
	return w->hash;
}

/*
 * The functions that are not inlined are the verifier's units: each is looked at once, whatever leads to it. Kernel
 * objects go in as numbers, results lie in scratch.
 */
__noinline int file_hash(__u64 file_)
{
	struct file *file = (void *)file_;
	struct scratch *s = scratch_get();
	struct config *c = config_get();
	struct path_walk w = {};

	if (!s || !c)
		return 0;
	w.hash = c->hash_key;
	s->file = walk_up(&w, BPF_CORE_READ(file, f_path.mnt), BPF_CORE_READ(file, f_path.dentry), c);
	s->file_name = w.name;
	s->file_cut = !w.done && !w.detached;
	return 0;
}

#endif
