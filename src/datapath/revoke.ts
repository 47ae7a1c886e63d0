import { sockDestroy } from 'libbpf-ts/net';
import { addressText } from './events.ts';
import type { Kernel } from './kernel.ts';
import { revokedCodec } from './postern.skel.ts';

/**
 * Judges every connection of the calling thread's network namespace again; those that lost their right are destroyed: by
 * the program itself, or, on kernels without bpf_sock_destroy (before 6.5), through SOCK_DESTROY for each that it lists.
 * Returns how many the list had.
 */
export function revoke(kernel: Kernel): number {
  const output = kernel.iterate('revoke_tcp');
  const view = new DataView(output.buffer, output.byteOffset, output.byteLength);
  for (let at = 0; at + revokedCodec.size <= output.length; at += revokedCodec.size) {
    const { local, remote, local_port, remote_port, ifindex } = revokedCodec.decode(view, at);
    sockDestroy({
      protocol: 'tcp',
      local: { address: addressText(local), port: local_port },
      remote: { address: addressText(remote), port: remote_port },
      interface: ifindex,
    });
  }
  return output.length / revokedCodec.size;
}
