import { existsSync, readFileSync } from 'node:fs';

/** What keeps the agent from enforcing, and what gives it. The agent says it again with its own eyes. */
export function kernelNeeds({
  uid = process.getuid(),
  hasBtf = existsSync('/sys/kernel/btf/vmlinux'),
  mounts = readFileSync('/proc/self/mounts', 'utf8'),
  filesystems = readFileSync('/proc/filesystems', 'utf8'),
} = {}) {
  const needs = [];
  if (uid !== 0) needs.push('not root: only the control plane starts; run it as root to enforce');
  if (!hasBtf) needs.push('no BTF: needs a kernel with CONFIG_DEBUG_INFO_BTF=y (Debian 12 and Ubuntu 22.04 have it)');
  // A kernel that has it and does not show it is no trouble: the agent mounts it beside what is there.
  if (!/ cgroup2 /.test(mounts) && !/\tcgroup2$/m.test(filesystems))
    needs.push('no cgroup2: needs a kernel with CONFIG_CGROUP_BPF=y (Debian 12 and Ubuntu 22.04 have it)');
  return needs;
}
