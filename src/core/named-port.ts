/** One port that a name stands for. */
export interface NamedPort {
  readonly port: number;
  readonly protocol: 'TCP' | 'UDP' | 'SCTP';
}

/** Lower case name → the port, or the ports that a workload listens on now. */
export type NamedPorts = Readonly<Record<string, NamedPort | readonly NamedPort[]>>;

/** In a registration, instead of a port: whatever the workload listens on. */
export const LISTENING = 'listening';

export function portsNamed(ports: NamedPorts | undefined, name: string): readonly NamedPort[] {
  const found = ports !== undefined && Object.hasOwn(ports, name) ? ports[name] : undefined;
  return found === undefined ? [] : 'port' in found ? [found] : found;
}

/** `{"http": "8080/TCP", "jmx": "listening"}`, as they are stored, with what is listened on now. */
export function readNamedPorts(
  texts: Readonly<Record<string, string>>,
  listening: () => readonly NamedPort[],
): NamedPorts | undefined {
  const entries = Object.entries(texts).map(([name, text]) => [name, text === LISTENING ? listening() : toPort(text)]);
  return entries.length === 0 ? undefined : Object.fromEntries(entries);
}

export function samePorts(a: NamedPorts = {}, b: NamedPorts = {}): boolean {
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every((name) => portText(a, name) === portText(b, name));
}

/** Equal texts are equal ports. */
export function portText(ports: NamedPorts | undefined, name: string): string {
  return portsNamed(ports, name)
    .map(({ port, protocol }) => `${port}/${protocol}`)
    .sort()
    .join(' ');
}

/** Text that was checked when it was registered. */
function toPort(text: string): NamedPort {
  const [port, protocol] = text.split('/');
  return { port: Number(port), protocol: protocol as NamedPort['protocol'] };
}
