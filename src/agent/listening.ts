import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { runAtOnce, type Steps } from './steps.ts';

/** Sockets that wait for somebody: TCP in LISTEN, UDP bound and not connected; with the processes that hold them. */
export interface OwnedSocket {
  readonly protocol: 6 | 17;
  readonly address: string;
  readonly port: number;
  /** Unique on the host. */
  readonly inode: number;
  readonly netns: number;
  /** Ascending; empty for a kernel socket, or when the scan was cut. */
  readonly pids: readonly number[];
}

export interface ListeningScan {
  readonly sockets: readonly OwnedSocket[];
  /** The limit of descriptors was met: some owners are missing. */
  readonly isCut: boolean;
}

/**
 * @param processes whose namespaces and descriptors are looked at
 * @param maxDescriptors of all processes together; each costs one readlink (about 2 us)
 */
export function scanListening(...words: Parameters<typeof listeningScan>): ListeningScan {
  return runAtOnce(listeningScan(...words));
}

export function* listeningScan(
  processes: readonly { readonly pid: number; readonly netns: number }[],
  maxDescriptors = 100_000,
  procPath = '/proc',
): Steps<ListeningScan> {
  const found = new Map<number, Omit<OwnedSocket, 'pids'>>();
  const seen = new Set<number>();
  for (const { pid, netns } of processes) {
    if (seen.has(netns)) continue;
    const sockets = yield* readListening(pid, netns, procPath);
    if (sockets === undefined) continue;
    seen.add(netns);
    for (const socket of sockets) found.set(socket.inode, socket);
  }
  const owners = new Map<number, number[]>();
  let left = maxDescriptors;
  for (const { pid } of processes) {
    if (found.size === 0 || left <= 0) break;
    left = ownersOf(pid, found, owners, left, procPath);
    yield;
  }
  return { sockets: toOwned(found, owners), isCut: left <= 0 };
}

/** Enters the process as an owner of those sockets that it holds. Returns how many more descriptors may be looked at. */
export function ownersOf(
  pid: number,
  sockets: ReadonlyMap<number, unknown>,
  owners: Map<number, number[]>,
  maxDescriptors = Number.POSITIVE_INFINITY,
  procPath = '/proc',
): number {
  let left = maxDescriptors;
  for (const descriptor of listDescriptors(pid, procPath)) {
    if (left-- <= 0) break;
    const inode = readSocketInode(`${procPath}/${pid}/fd/${descriptor}`);
    if (inode === undefined || !sockets.has(inode)) continue;
    const pids = owners.get(inode) ?? [];
    if (pids.at(-1) !== pid) pids.push(pid);
    owners.set(inode, pids);
  }
  return left;
}

export function toOwned(
  sockets: ReadonlyMap<number, Omit<OwnedSocket, 'pids'>>,
  owners: ReadonlyMap<number, number[]>,
): OwnedSocket[] {
  return [...sockets.values()]
    .map((socket) => ({ ...socket, pids: (owners.get(socket.inode) ?? []).sort((a, b) => a - b) }))
    .sort(bySocket);
}

/** Ports that the kernel chooses for a client. */
export function ephemeralPorts(): [number, number] {
  const [from = 32768, to = 60999] = readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8')
    .trim()
    .split(/\s+/)
    .map(Number);
  return [from, to];
}

/** One of /proc/net/{tcp,tcp6,udp,udp6}: the lines that wait. */
export function parseSockets(text: string, protocol: 6 | 17): { address: string; port: number; inode: number }[] {
  const waiting = protocol === 6 ? '0A' : '07';
  const sockets: { address: string; port: number; inode: number }[] = [];
  for (const line of text.split('\n').slice(1)) {
    const fields = line.trim().split(/\s+/);
    const [address, port] = (fields[1] ?? '').split(':');
    if (address === undefined || port === undefined || fields[3] !== waiting) continue;
    const number = Number.parseInt(port, 16);
    if (number === 0) continue;
    sockets.push({ address: parseAddress(address), port: number, inode: Number(fields[9]) });
  }
  return sockets;
}

/** Of the network namespace of this process; undefined when it has ended. One file of TCP takes the kernel some milliseconds. */
function* readListening(pid: number, netns: number, procPath: string): Steps<Omit<OwnedSocket, 'pids'>[] | undefined> {
  const files = [
    ['tcp', 6],
    ['tcp6', 6],
    ['udp', 17],
    ['udp6', 17],
  ] as const;
  const sockets: Omit<OwnedSocket, 'pids'>[] = [];
  for (const [file, protocol] of files) {
    const text = readText(`${procPath}/${pid}/net/${file}`);
    // Without IPv6 in the kernel there is no tcp6; without tcp the process is gone.
    if (text === undefined && file === 'tcp') return undefined;
    sockets.push(...parseSockets(text ?? '', protocol).map((socket) => ({ ...socket, protocol, netns })));
    yield;
  }
  return sockets;
}

/** Words of 32 bits in host byte order, which is little endian wherever Node runs. */
function parseAddress(hex: string): string {
  const bytes = (hex.match(/.{8}/g) ?? []).flatMap((word) =>
    (word.match(/../g) ?? []).reverse().map((byte) => Number.parseInt(byte, 16)),
  );
  if (bytes.length === 4) return bytes.join('.');
  const isMapped = bytes.slice(0, 10).every((byte) => byte === 0) && bytes[10] === 255 && bytes[11] === 255;
  if (isMapped) return bytes.slice(12).join('.');
  const words = Array.from({ length: 8 }, (_, i) => ((bytes[2 * i]! << 8) | bytes[2 * i + 1]!).toString(16));
  return new URL(`http://[${words.join(':')}]`).hostname.slice(1, -1);
}

function listDescriptors(pid: number, procPath: string): string[] {
  try {
    return readdirSync(`${procPath}/${pid}/fd`);
  } catch {
    return [];
  }
}

function readSocketInode(path: string): number | undefined {
  try {
    const match = /^socket:\[(\d+)\]$/.exec(readlinkSync(path));
    return match === null ? undefined : Number(match[1]);
  } catch {
    return undefined;
  }
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return undefined;
  }
}

function bySocket(a: OwnedSocket, b: OwnedSocket): number {
  return (
    a.protocol - b.protocol ||
    a.port - b.port ||
    (a.address < b.address ? -1 : a.address > b.address ? 1 : a.inode - b.inode)
  );
}
