/**
 * Who may do what, until there are tokens. Reads are open to every local user; writes are for root and for the server's
 * own uid, so that no local process can rewrite the policy that binds it; a registered workload gets nothing at all;
 * and no web page that a local browser shows reaches us under another name (DNS rebinding).
 */
import type { IncomingMessage } from 'node:http';
import { isIPv4, type Socket } from 'node:net';
import type { CallerLabel } from '../api/caller-label.ts';
import type { Access } from './operation.ts';
import { fdOf, type Peer, type PeerLookup, peerOf } from './peer.ts';
import { ProblemError } from './problem-error.ts';

export interface AccessOptions {
  readonly lookup: PeerLookup;
  readonly socketPath: string;
  readonly labelOf: LabelOf;
}

/**
 * Who is connected, as the agent of this host knows; undefined = there is no agent. `fd` is our end. Fails when it cannot be
 * told, at the latest after `patienceMs`.
 */
export type LabelOf = (
  peer: Peer,
  fd: number,
  patienceMs: number,
) => CallerLabel | undefined | Promise<CallerLabel | undefined>;

/** A read goes on without an answer, a write waits out an agent that is busy with a large policy. */
const READ_PATIENCE_MS = 1_000;
const WRITE_PATIENCE_MS = 5_000;

/** Refuses by rejecting; resolves with who it is, as `updatedBy` and the audit log name them. */
export async function checkAccess(incoming: IncomingMessage, access: Access, options: AccessOptions): Promise<string> {
  const { headers, socket } = incoming;
  const isTcp = socket.remoteAddress !== undefined;
  if (isTcp && !isLoopbackHost(headers.host)) throw foreign('Host', headers.host);
  const { origin } = headers;
  if (origin !== undefined && !isLoopbackHost(hostOfOrigin(origin))) throw foreign('Origin', origin);

  const peer = identify(incoming, options);
  const isRead = access === 'read' || incoming.method === 'GET';
  const label = await labelled(peer, socket, options.labelOf, isRead);
  if (label !== undefined && !(label instanceof Error) && label.identity !== 0) {
    const { workload, identity } = label;
    const who = workload === undefined ? `identity ${identity}` : `${workload}, identity ${identity}`;
    throw new ProblemError('workload-connection', `This connection belongs to a registered workload: ${who}`, {
      hint: 'call from a shell that is no workload (postern endpoint list shows which processes are)',
    });
  }
  const trusted = peer.uid !== undefined && (peer.uid === 0 || peer.uid === process.geteuid?.());
  if (!trusted && access !== 'read') throw refuse(incoming, access, peer, options.socketPath);
  if (label instanceof Error && !isRead) {
    throw new ProblemError('caller-unknown', `Cannot tell whether a workload is connected: ${label.message}`, {
      hint: 'call again, and wait for the answer; an agent that hangs: systemctl restart postern-agent',
      headers: { 'retry-after': '1' },
    });
  }
  return peer.uid === undefined ? 'uid:?' : `uid:${peer.uid}`;
}

async function labelled(peer: Peer, socket: Socket, labelOf: LabelOf, isRead: boolean) {
  try {
    return await labelOf(peer, fdOf(socket) ?? -1, isRead ? READ_PATIENCE_MS : WRITE_PATIENCE_MS);
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

function identify({ socket }: IncomingMessage, { lookup }: AccessOptions): Peer {
  try {
    return peerOf(socket, lookup);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new ProblemError('read-only', `Cannot tell who is connected, so nothing is allowed: ${why}`);
  }
}

function refuse(incoming: IncomingMessage, access: Access, peer: Peer, socketPath: string): ProblemError {
  const who = peer.uid === undefined ? 'a user whose socket is gone' : `uid ${peer.uid}`;
  const method = incoming.method ?? 'GET';
  return new ProblemError(
    access === 'agent' ? 'not-agent' : 'read-only',
    `${who} may only read: ${access === 'agent' ? 'agents' : 'writes'} are taken from root and from the server's own user`,
    { hint: `sudo curl --unix-socket ${socketPath} -X ${method} http://localhost${incoming.url ?? '/'}` },
  );
}

function foreign(header: string, value: string | undefined): ProblemError {
  return new ProblemError(
    'forbidden-host',
    `${header} "${value ?? ''}" is not this machine: use 127.0.0.1, localhost or [::1] (a web page must not reach the control plane)`,
  );
}

function hostOfOrigin(origin: string): string | undefined {
  try {
    return new URL(origin).host;
  } catch {
    return undefined;
  }
}

/** `127.0.0.1:7460`, `localhost`, `[::1]:7460`; any of 127.0.0.0/8. */
function isLoopbackHost(host: string | undefined): boolean {
  if (host === undefined) return false;
  const name = host.replace(/:\d+$/, '').toLowerCase();
  return name === 'localhost' || name === '[::1]' || (isIPv4(name) && name.startsWith('127.'));
}
