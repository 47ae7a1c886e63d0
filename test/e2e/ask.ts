import { join } from 'node:path';
import type { Instance } from './instance.ts';
import { type RunOptions, run } from './run-in.ts';
import { until } from './wait.ts';

/** What a client met: an echo, EPERM at once, a refusal, or nothing. */
export type Met = 'echo' | 'EPERM' | 'ECONNREFUSED' | 'silence' | string;

/** Connects with bash, sends a line and reads it back. Silence is what outlasts `limitMs`. */
export async function askTcp(address: string, port: number, options: RunOptions = {}): Promise<Met> {
  const script = `exec 3<>/dev/tcp/${address}/${port} && echo hello >&3 && head -n 1 <&3`;
  const { code, stdout, stderr } = await run(['bash', '-c', script], { limitMs: 6_000, ...options });
  if (stdout === 'hello\n') return 'echo';
  if (/Operation not permitted/.test(stderr)) return 'EPERM';
  if (/Connection refused/.test(stderr)) return 'ECONNREFUSED';
  return code === null ? 'silence' : `${stderr}${stdout}`;
}

/** Sends a datagram with Node, on a socket that is connected or not. */
export async function askUdp(
  address: string,
  port: number,
  options: RunOptions & { connected?: boolean } = {},
): Promise<Met> {
  const script = join(import.meta.dirname, 'udp-ask.mjs');
  const words = [process.execPath, script, address, String(port), options.connected ? 'connected' : 'unconnected'];
  const { code, stdout, stderr } = await run(words, { limitMs: 6_000, ...options });
  if (stdout === 'hello\n') return 'echo';
  return code === null ? 'silence' : stdout.trim() || stderr;
}

const PING = `
use Socket;
my ($to) = @ARGV;
socket(my $s, PF_INET, SOCK_RAW, 1) or die "$!\\n";
my $p = pack('C2 n3', 8, 0, 0, $$ & 0xffff, 1);
my $sum = 0; $sum += $_ for unpack('n*', $p);
$sum = ($sum & 0xffff) + ($sum >> 16);
substr($p, 2, 2) = pack('n', ~$sum & 0xffff);
defined send($s, $p, 0, sockaddr_in(0, inet_aton($to))) or die "$!\\n";
while (defined recv($s, my $answer, 1500, 0)) {
  my ($type, $id) = unpack('x20 C x3 n', $answer);
  if ($type == 0 && $id == ($$ & 0xffff)) { print "echo\\n"; exit 0 }
}
die "$!\\n";
`;

/** One ICMP echo request on a raw socket. */
export async function ping(address: string, options: RunOptions = {}): Promise<Met> {
  const { code, stdout, stderr } = await run(['perl', '-e', PING, address], { limitMs: 6_000, ...options });
  if (stdout === 'echo\n') return 'echo';
  if (/Operation not permitted/.test(stderr)) return 'EPERM';
  return code === null ? 'silence' : stderr;
}

/** Waits until the agent has seen that many addresses of this machine's namespaces. */
export async function ownAddresses(postern: Instance, atLeast: number): Promise<void> {
  await until(`the agent knows ${atLeast} own addresses`, async () => (await countOwn(postern)) >= atLeast);
}

export async function countOwn(postern: Instance): Promise<number> {
  const { body } = await postern.agent('/v1/maps');
  return (body.items ?? body).find(({ name }: { name: string }) => name === 'own_addr').entries;
}
