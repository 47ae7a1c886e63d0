/** What happens under policy that changes all the time: traffic, changes and flows, as atomic-check.ts wants them. */
import type { ChildProcess } from 'node:child_process';
import { get } from 'node:http';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Flow } from '../../src/api/flow.ts';
import { cidrPrefixes } from '../../src/core/cidr-prefixes.ts';
import { type Identity, localIdentity, toIdentityId } from '../../src/core/identity.ts';
import { type Policy, parsePolicy } from '../../src/core/policy.ts';
import type { World } from '../../src/core/world.ts';
import type { Attempt, Era, Recording } from './atomic-check.ts';
import { type AtomicLab, FAR, HOME, NEAR, PREFIXES } from './atomic-lab.ts';
import { APPS, createRandom, type Document, nextChange, PORTS } from './atomic-policy.ts';
import type { Instance } from './instance.ts';
import { type RunOptions, run } from './run-in.ts';
import { until } from './wait.ts';

export interface Plan {
  readonly changes: number;
  readonly seed: number;
  /** Between two attempts of one client. */
  readonly periodUs: number;
}

/** Nobody listens there. */
const MARK = 7999;

/** Traffic, changes, and what was seen of both. */
export async function record(lab: AtomicLab, { changes, seed, periodUs }: Plan): Promise<Recording> {
  const { postern, home } = lab;
  const identities = await readIdentities(postern);
  const flows: Flow[] = [];
  const path = '/v1/flows?follow=true&last=0';
  const follower = get({ socketPath: join(postern.runDir, 'agent.sock'), path }, (response) => {
    createInterface({ input: response })
      .on('line', (line) => flows.push(JSON.parse(line)))
      .on('error', () => undefined); // ended by ourselves
  });
  await until('flows come', async () => {
    await run(['bash', '-c', `: > /dev/tcp/127.0.0.1/${MARK}`], home('a'));
    return flows.length > 0;
  });
  const attempts: Attempt[] = [];
  const clients = startClients(lab, periodUs, attempts);
  await until('traffic flows', () => attempts.length > 100 && flows.length > 100);
  const eras = await change(postern, changes, seed, identities);
  await Promise.all(clients.map(ended));
  // The ring keeps the order: behind this one there is none of the attempts.
  await run(['bash', '-c', `: > /dev/tcp/127.0.0.1/${MARK}`], home('a'));
  await until('the last flow has come', () => flows.at(-1)?.destination?.port === MARK);
  follower.destroy();
  return {
    ...{ eras, attempts },
    flows: flows.filter(({ destination }) => (PORTS as readonly number[]).includes(destination?.port ?? 0)),
    identities: new Map(identities.flatMap(({ id, workloads }) => workloads.map((key) => [key, id] as const))),
    isHere: (workload) => APPS.some((app) => workload === `shop/${app}`),
    server: (address, port) => {
      if (address === FAR[4] || address === FAR[6]) return 'shop/far';
      if (address === NEAR[4] || address === NEAR[6]) return undefined;
      return port === PORTS[0] ? 'shop/s' : 'shop/t';
    },
  };
}

/** Clients of two workloads, of a server that is a client too, and outside, by the workload's addresses and by others. */
function startClients({ client: start, home, outside }: AtomicLab, periodUs: number, into: Attempt[]): ChildProcess[] {
  const protocols = ['tcp', 'udp', 'udpc'];
  const targets = (addresses: readonly string[], from: { readonly 4?: string; readonly 6?: string }) =>
    protocols.flatMap((protocol) =>
      PORTS.flatMap((port) =>
        addresses.map((address) => `${protocol},${from[address.includes(':') ? 6 : 4] ?? '-'},${address},${port}`),
      ),
    );
  const local = ['127.0.0.1', '::1', HOME[4], HOME[6]];
  const client = (name: string, workers: number, words: readonly string[], where: RunOptions): ChildProcess => {
    const child = start([workers, periodUs, ...words], where);
    createInterface({ input: child.stdout! }).on('line', (line) => into.push(readAttempt(name, line)));
    return child;
  };
  const everything = targets([...local, ...Object.values(FAR), ...Object.values(NEAR)], {});
  return [
    client('shop/a', 3, everything, home('a')),
    client('shop/b', 3, everything, home('b')),
    client(
      'shop/s',
      1,
      targets(local, {}).filter((word) => word.endsWith(String(PORTS[1]))),
      home('s'),
    ),
    client('shop/far', 3, targets(Object.values(HOME), FAR), outside),
    client(NEAR[4], 3, targets([HOME[4]], NEAR), outside),
    client(NEAR[6], 3, targets([HOME[6]], NEAR), outside),
  ];
}

function readAttempt(client: string, line: string): Attempt {
  const [protocol, address, port, sourcePort, beginUs, endUs, result] = line.split(' ');
  return {
    ...{ client, protocol: protocol as Attempt['protocol'], address: address!, result: result! },
    ...{ port: Number(port), sourcePort: Number(sourcePort), beginUs: Number(beginUs), endUs: Number(endUs) },
  };
}

/** One change at a time, each only when the host has the one before. */
async function change(
  postern: Instance,
  changes: number,
  seed: number,
  identities: readonly Identity[],
): Promise<Era[]> {
  const random = createRandom(seed);
  const documents = new Map<string, Document>();
  const worldNow = (): World => {
    const policies = [...documents.values()].map(understood);
    return {
      ...{ identities, policies, namespaces: { shop: {} }, clusterName: 'default' },
      cidrs: cidrPrefixes(policies).map((prefix, i) => ({ id: localIdentity(i + 1), prefix })),
    };
  };
  const revisionNow = async (): Promise<number> => (await postern.api('GET', '/v1/policies?limit=1')).body.revision;
  let last = { revision: await revisionNow(), world: worldNow(), fromUs: 0, untilUs: Number.POSITIVE_INFINITY };
  const eras: Era[] = [];
  while (eras.length < changes) {
    const { put, gone } = nextChange(random, new Set(documents.keys()), PREFIXES);
    const fromUs = Date.now() * 1000;
    if (gone !== undefined) await accepted(postern, 'DELETE', `/v1/policies/cnp/shop/${gone}`);
    else if (put.length === 1) await accepted(postern, 'PUT', `/v1/policies/cnp/shop/${put[0]!.metadata.name}`, put[0]);
    else await accepted(postern, 'POST', '/v1/apply', { apiVersion: 'v1', kind: 'List', items: put });
    const revision = await revisionNow();
    if (gone !== undefined) documents.delete(gone);
    for (const document of put) documents.set(document.metadata.name, document);
    if (revision === last.revision) continue; // the same again
    await until(
      `revision ${revision} is applied`,
      async () => (await postern.agent('/v1/policy')).body.revision >= revision,
    );
    eras.push({ ...last, untilUs: (Date.now() + 1) * 1000 });
    last = { ...last, revision, world: worldNow(), fromUs };
  }
  return [...eras, last];
}

async function accepted(postern: Instance, method: string, path: string, body?: unknown): Promise<void> {
  const { status, body: problem } = await postern.api(method, path, body);
  if (status >= 300) throw new Error(`${method} ${path}: ${JSON.stringify(problem)} of ${JSON.stringify(body)}`);
}

const parsed = new WeakMap<Document, Policy>();

function understood(document: Document): Policy {
  const known = parsed.get(document);
  if (known !== undefined) return known;
  const result = parsePolicy(document);
  if (!result.ok) throw new Error(JSON.stringify(result.errors));
  parsed.set(document, result.value);
  return result.value;
}

async function readIdentities(postern: Instance) {
  const { body } = await postern.api('GET', '/v1/identities?limit=100');
  return (body.items as { id: number; labels: string[]; workloads: string[] }[]).map((one) => ({
    ...one,
    id: toIdentityId(one.id),
  }));
}

/** Lets what it is at come to its end. */
function ended(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    child.once('close', () => resolve());
    child.stdin!.end();
  });
}
