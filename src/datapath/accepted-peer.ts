import { socketCookie } from 'libbpf-ts/net';
import { knownConnection } from './known-connection.ts';
import type { DatapathMaps } from './maps.ts';

/** Identity of who is at the other end of an accepted TCP connection, as the kernel saw it; 0 = not known. */
export function acceptedPeer(maps: DatapathMaps, fd: number): number {
  return knownConnection(maps, socketCookie(fd))?.remote_id ?? maps.sk_info.get(fd)?.c.remote_id ?? 0;
}
