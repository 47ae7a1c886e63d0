/** Lists of ports as sysctl net.ipv4.ip_local_reserved_ports writes them, "8080,9000-9010": ascending, disjoint, not adjacent. */
export type PortList = readonly PortSpan[];

export interface PortSpan {
  readonly from: number;
  /** Inclusive. */
  readonly to: number;
}

/** What is no port or range is passed over: the kernel wrote it. */
export function parsePortList(text: string): PortList {
  return joinPorts(
    text.split(/[\s,]+/).flatMap((word) => {
      const match = /^(\d+)(?:-(\d+))?$/.exec(word);
      return match === null ? [] : [{ from: Number(match[1]), to: Number(match[2] ?? match[1]) }];
    }),
  );
}

export function portListText(list: PortList): string {
  return list.map(({ from, to }) => (from === to ? String(from) : `${from}-${to}`)).join();
}

/** All of these, canonical. */
export function joinPorts(spans: readonly PortSpan[]): PortList {
  const joined: { from: number; to: number }[] = [];
  for (const { from, to } of [...spans].sort((a, b) => a.from - b.from)) {
    const last = joined.at(-1);
    if (last !== undefined && from <= last.to + 1) last.to = Math.max(last.to, to);
    else joined.push({ from, to });
  }
  return joined;
}

/** Those of `list` that are not in `others`. */
export function withoutPorts(list: PortList, others: PortList): PortList {
  let left: PortList = list;
  for (const other of others)
    left = left.flatMap(({ from, to }) =>
      [
        { from, to: Math.min(to, other.from - 1) },
        { from: Math.max(from, other.to + 1), to },
      ].filter((span) => span.from <= span.to),
    );
  return joinPorts(left);
}

export function countPorts(list: PortList): number {
  return list.reduce((sum, { from, to }) => sum + to - from + 1, 0);
}

/** Those within `span`. */
export function portsWithin(list: PortList, span: PortSpan): PortList {
  return list
    .map(({ from, to }) => ({ from: Math.max(from, span.from), to: Math.min(to, span.to) }))
    .filter(({ from, to }) => from <= to);
}

/**
 * What to keep out of the ephemeral range: the narrowest first, as long as at least half of `ephemeral` stays for connections.
 * `left` has the others.
 */
export function portsToReserve(
  wanted: readonly PortSpan[],
  ephemeral: PortSpan,
): { reserve: PortList; left: PortList } {
  const most = (ephemeral.to - ephemeral.from + 1) / 2;
  let reserve: PortList = [];
  const left: PortSpan[] = [];
  for (const span of [...wanted].sort((a, b) => a.to - a.from - (b.to - b.from) || a.from - b.from)) {
    const more = joinPorts([...reserve, span]);
    if (countPorts(portsWithin(more, ephemeral)) <= most) reserve = more;
    else left.push(span);
  }
  return { reserve, left: joinPorts(left) };
}
