import type { DatapathMaps } from './maps.ts';
import type { Connection } from './postern.skel.ts';

/** What the kernel keeps of the TCP connection whose socket has this cookie; undefined = none, or older than the hooks. */
export function knownConnection(maps: DatapathMaps, cookie: number): Connection | undefined {
  const slot = maps.connection_slot.get(cookie % maps.connection_slot.maxEntries);
  return slot?.cookie === cookie ? slot.c : maps.connection.get(cookie);
}
