import { statSync } from 'node:fs';
import { inodeOf, mayConnect, type Who, walkPath } from './findings-path.ts';

/**
 * Sockets of programs that start others on request: what they start is not in the cgroup of who asked, and has not its
 * label. UID stands for the process's own.
 */
export const HELPER_SOCKETS = [
  '/run/docker.sock',
  '/var/run/docker.sock',
  '/run/containerd/containerd.sock',
  '/run/podman/podman.sock',
  '/run/crio/crio.sock',
  '/run/libvirt/libvirt-sock',
  '/var/lib/lxd/unix.socket',
  '/var/snap/lxd/common/lxd/unix.socket',
  '/var/lib/incus/unix.socket',
  '/run/user/UID/docker.sock',
  '/run/user/UID/podman/podman.sock',
  '/run/user/UID/containerd/containerd.sock',
  '/run/user/UID/systemd/private',
] as const;

/** What systemd mounts over a socket that `InaccessiblePaths=` names. */
const COVER = '/run/systemd/inaccessible/sock';

/** Those that this one may connect to, as he names them. @param root `/proc/PID/root` */
export function reachableSockets(who: Who, root: string): string[] {
  const covers = [COVER, `${root}${COVER}`].flatMap((path) => {
    const stat = statSync(path, { throwIfNoEntry: false });
    return stat === undefined ? [] : [inodeOf(stat)];
  });
  const found = new Map<string, string>();
  for (const template of HELPER_SOCKETS) {
    const path = template.replace('UID', String(who.uid));
    const parts = walkPath(root, path);
    const socket = parts?.at(-1);
    if (parts === undefined || socket === undefined || !socket.isSocket || covers.includes(socket.inode)) continue;
    if (!found.has(socket.inode) && mayConnect(who, parts)) found.set(socket.inode, path);
  }
  return [...found.values()];
}
