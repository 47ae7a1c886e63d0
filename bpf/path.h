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
#define HASH_MULTIPLIER 0x9e3779b97f4a7c15ULL

struct scratch {
	char text[PATTERN_MAX];
	struct arg_key arg;
	struct arg_prefix_key prefix;
	struct cgroup_pattern_key cgroup;
	__u64 bits[128]; /* argument patterns met, by id */
	__u32 heads[64];
	__u32 ids[64];
	__u32 n_heads;
	__u32 n_ids;
	struct cgroup_label label;
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

struct path_walk {
	struct dentry *dentry;
	struct mount *mount;
	__u64 hash;
	__u32 last_dev; /* file system of the mount that was left last: the root's, when a rootfs lies below it */
	__u32 top_dev;
	__u32 done;
};

static long path_step(__u32 index, void *context)
{
	struct path_walk *w = context;
	struct scratch *s = scratch_get();
	struct mount *mount = w->mount; /* locals: BPF_CORE_READ would relocate our own struct too */
	struct dentry *dentry = w->dentry, *parent, *root = BPF_CORE_READ(mount, mnt.mnt_root);
	const unsigned char *name;
	__u64 *words;
	__u32 length, n;
	int i;

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
	if (parent == dentry)
		return 1; /* not reachable from a root: memfd, detached mount */
	length = BPF_CORE_READ(dentry, d_name.len);
	name = BPF_CORE_READ(dentry, d_name.name);
	if (length > 255)
		return 1;
	__builtin_memset(s->text, 0, sizeof(s->text));
	bpf_probe_read_kernel(s->text, length & 255, name);
	words = (__u64 *)s->text;
	n = (length + 7) / 8;
	for (i = 0; i < NAME_WORDS; i++) {
		if (i >= n)
			break;
		w->hash = hash_mix(w->hash, words[i]);
	}
	w->hash = hash_mix(w->hash, length);
	w->dentry = parent;
	return 0;
}

/* 0 when the file does not lie on the host's root. */
static __always_inline __u64 file_path_hash(struct file *file, const struct config *c)
{
	struct path_walk w = {.hash = c->hash_key};
	struct vfsmount *mnt = BPF_CORE_READ(file, f_path.mnt);

	w.dentry = BPF_CORE_READ(file, f_path.dentry);
	w.mount = (void *)mnt - bpf_core_field_offset(struct mount, mnt);
	bpf_loop(PATH_DEPTH, path_step, &w, 0);
	if (!w.done) {
		count(COUNT_PATH_DEEP);
		return 0;
	}
	if ((c->root_is_top ? w.top_dev : w.last_dev) != c->root_dev)
		return 0;
	return w.hash;
}

#endif
