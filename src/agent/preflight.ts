import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { mountCgroup2 } from 'libbpf-ts';

export interface Preflight {
  /** What keeps this host from enforcing, each with the way to get it; empty = all is there. */
  readonly missing: readonly string[];
  /** Mount point of cgroup2, if there is one. */
  readonly cgroupMount?: string;
}

/** Where cgroup2 is mounted when the host has none: beside, not over, what a v1 host has. */
const OWN_MOUNT = '/run/postern/cgroup2';

/** What the agent needs of the host, looked at one by one rather than inferred from the kernel's version. */
export function preflight(object: string): Preflight {
  const missing: string[] = [];
  if (process.getuid?.() !== 0)
    missing.push('not root: run as root (sudo), or with CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON and CAP_SYS_ADMIN');
  if (!existsSync('/sys/kernel/btf/vmlinux'))
    missing.push(
      'no BTF (/sys/kernel/btf/vmlinux): needs a kernel built with CONFIG_DEBUG_INFO_BTF=y, as those of Debian 12, Ubuntu 22.04 and RHEL 9 are',
    );
  if (!existsSync(object))
    missing.push(
      `no compiled BPF object "${object}": apt-get install clang libbpf-dev linux-libc-dev, then node scripts/build-bpf.mjs`,
    );
  const found = findCgroupMount();
  if (found !== undefined) return { missing, cgroupMount: found };
  if (missing.length > 0) return { missing };
  try {
    mkdirSync(OWN_MOUNT, { recursive: true });
    mountCgroup2(OWN_MOUNT);
    return { missing, cgroupMount: OWN_MOUNT };
  } catch (error) {
    return {
      missing: [
        `no cgroup2: ${(error as Error).message}; boot with systemd.unified_cgroup_hierarchy=1, or mount -t cgroup2 none ${OWN_MOUNT}`,
      ],
    };
  }
}

/** First cgroup2 of /proc/mounts: /sys/fs/cgroup, or /sys/fs/cgroup/unified on a hybrid host. */
export function findCgroupMount(mounts = readFileSync('/proc/self/mounts', 'utf8')): string | undefined {
  const line = mounts.split('\n').find((text) => text.split(' ')[2] === 'cgroup2');
  return line?.split(' ')[1]?.replaceAll('\\040', ' ');
}
