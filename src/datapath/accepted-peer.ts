import { socketCookie } from 'libbpf-ts/net';
import type { DatapathMaps } from './maps.ts';

const CONNECTION_SLOTS = 65536;

/** Identity of who is at the other end of an accepted TCP connection, as the kernel saw it; 0 = not known. */
export function acceptedPeer(maps: DatapathMaps, fd: number): number {
  const cookie = socketCookie(fd);
  const slot = maps.connection_slot.get(cookie % CONNECTION_SLOTS);
  const known = slot?.cookie === cookie ? slot.c : maps.connection.get(cookie);
  return known?.remote_id ?? maps.sk_info.get(fd)?.c.remote_id ?? 0;
}
