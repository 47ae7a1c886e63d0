/**
 * A conformance case with real processes: each endpoint a workload with an address of its own, in a namespace `inside`;
 * addresses outside in a namespace at the far end of a veth pair. Between two workloads ICMP is judged in two halves: an
 * echo that is answered here is answered by the host. So each workload has a far twin with the same labels, known by address.
 */

import type { Case } from '../core/conformance-case.ts';
import { type CaseEndpoint, type CaseProbe, isExternal } from './conformance-rows.ts';
import type { Instance } from './instance.ts';
import type { Netns } from './netns.ts';
import { type Puppet, startPuppet } from './puppet.ts';
import { until } from './wait.ts';

export const INSIDE = Array.from({ length: 12 }, (_, i) => `10.77.0.${10 + i}`);
export const INSIDE6 = Array.from({ length: 12 }, (_, i) => `2001:db8:77::${10 + i}`);
export const FAR = Array.from({ length: 12 }, (_, i) => `10.88.0.${10 + i}`);
export const FAR6 = Array.from({ length: 12 }, (_, i) => `2001:db8:88::${10 + i}`);

/** How long nothing must be heard, where nothing is expected; how long an answer may take, where one is. */
const SILENCE_MS = 300;
const ANSWER_MS = 8_000;

interface End {
  readonly endpoint: CaseEndpoint;
  readonly index: number;
  readonly puppet: Puppet;
}

export class RealWorld {
  readonly #postern: Instance;
  readonly #netns: { readonly inside: Netns; readonly outside: Netns };
  readonly #row: Case;
  readonly #number: number;
  readonly #ends = new Map<string, End>();
  readonly #made: string[] = [];
  readonly #listening = new Set<string>();
  #far: Puppet | undefined;
  #id = 0;
  /** The last answer, for who is surprised. */
  met = '';

  constructor(postern: Instance, netns: { inside: Netns; outside: Netns }, row: Case, number: number) {
    this.#postern = postern;
    this.#netns = netns;
    this.#row = row;
    this.#number = number;
  }

  async open(): Promise<void> {
    const { endpoints, namespaces = [], policies } = this.#row;
    const workloads = endpoints.flatMap((endpoint, i) => this.#workloads(endpoint, i));
    const spaces = namespaces.map(({ name, labels = {} }) => {
      const { 'kubernetes.io/metadata.name': _, ...own } = labels;
      return { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels: own } };
    });
    await this.#postern.apply(...spaces, ...workloads, ...policies);
    for (const [index, endpoint] of endpoints.entries()) {
      if (isExternal(endpoint)) this.#netns.outside.ip(addAddress(endpoint.ip!));
      const puppet = isExternal(endpoint)
        ? startPuppet({ netns: this.#netns.outside.path })
        : startPuppet({ netns: this.#netns.inside.path, cgroup: this.#postern.makeCgroup(this.#cgroup(index)) });
      this.#ends.set(endpoint.name, { endpoint, index, puppet });
    }
    const wanted = this.#made.filter((name) => !name.endsWith('-far'));
    await until(`${wanted.join()} live`, async () => {
      const { body } = await this.#postern.agent('/v1/endpoints');
      const live = new Set(body.items.map(({ workload }: { workload: string }) => workload));
      return wanted.every((name) => live.has(name));
    });
    this.#far = startPuppet({ netns: this.#netns.outside.path });
    for (const family of ['4', '6']) await this.#must(this.#far, `hear ${family}`, 'ok');
  }

  async close(): Promise<void> {
    for (const { puppet, endpoint } of this.#ends.values()) {
      puppet.end();
      if (isExternal(endpoint)) this.#netns.outside.ip(`addr del ${prefixOf(endpoint.ip!)} dev pt0`);
    }
    this.#far?.end();
    const { body } = await this.#postern.api('GET', '/v1/policies?limit=500');
    for (const { kind, namespace, name } of body.items)
      await this.#postern.api('DELETE', `/v1/policies/${[kind, namespace, name].filter(Boolean).join('/')}`);
    for (const name of this.#made) await this.#postern.api('DELETE', `/v1/workloads/${name}`);
  }

  /** What really happens to one probe. */
  async probe(probe: CaseProbe, expected: boolean): Promise<boolean> {
    const [from, to] = [this.#ends.get(probe.from)!, this.#ends.get(probe.to)!];
    if (probe.icmp) return this.#icmp(from, to, probe.icmp.type, probe.icmp.family === 'IPv6', expected);
    const protocol = probe.protocol!.toLowerCase();
    const six = [from, to].some(({ endpoint }) => endpoint.ip?.includes(':') && isExternal(endpoint));
    const address = this.#address(to, six);
    await this.#listen(to, protocol, address, Number(probe.port));
    const words = [protocol, this.#address(from, six), address, probe.port, expected ? ANSWER_MS : SILENCE_MS];
    const met = await from.puppet.tell(words.join(' '));
    this.met = met;
    if (met === 'echo') return true;
    if (met === 'EPERM' || met === 'silence') return false;
    throw new Error(`${JSON.stringify(probe)}: ${met}`);
  }

  async #icmp(from: End, to: End, type: number, six: boolean, expected: boolean): Promise<boolean> {
    const outwards = isExternal(from.endpoint) || (await this.#icmpOut(from, to, type, six));
    const inwards = isExternal(to.endpoint) || (await this.#icmpIn(from, to, type, six, expected));
    return outwards && inwards;
  }

  /** From the workload to the far twin of the other: EPERM, or it arrives there. */
  async #icmpOut(from: End, to: End, type: number, six: boolean): Promise<boolean> {
    const id = this.#nextId();
    const met = await from.puppet.tell(`icmp ${this.#address(from, six)} ${this.#farAddress(to, six)} ${type} ${id}`);
    if (met === 'EPERM') return false;
    if (met !== 'sent') throw new Error(`icmp: ${met}`);
    return (await this.#far!.tell(`heard ${type} ${id} ${ANSWER_MS}`)) === 'yes';
  }

  /** From the far twin to the workload, which hears it on a raw socket, or not. */
  async #icmpIn(from: End, to: End, type: number, six: boolean, expected: boolean): Promise<boolean> {
    const id = this.#nextId();
    const key = `hear ${to.index} ${six}`;
    if (!this.#listening.has(key)) await this.#must(to.puppet, `hear ${six ? 6 : 4}`, 'ok');
    this.#listening.add(key);
    const sent = `icmp ${this.#farAddress(from, six)} ${this.#address(to, six)} ${type} ${id}`;
    await this.#must(this.#far!, sent, 'sent');
    return (await to.puppet.tell(`heard ${type} ${id} ${expected ? ANSWER_MS : SILENCE_MS}`)) === 'yes';
  }

  async #listen(to: End, protocol: string, address: string, port: number): Promise<void> {
    const key = `${protocol} ${address} ${port}`;
    if (!this.#listening.has(key)) await this.#must(to.puppet, `listen ${key}`, 'ok');
    this.#listening.add(key);
  }

  async #must(puppet: Puppet, command: string, wanted: string): Promise<void> {
    const answer = await puppet.tell(command);
    if (answer !== wanted) throw new Error(`${this.#row.name}: "${command}" gives "${answer}"`);
  }

  #address({ endpoint, index }: End, six: boolean): string {
    return isExternal(endpoint) ? endpoint.ip! : (six ? INSIDE6 : INSIDE)[index]!;
  }

  #farAddress({ endpoint, index }: End, six: boolean): string {
    return isExternal(endpoint) ? endpoint.ip! : (six ? FAR6 : FAR)[index]!;
  }

  #cgroup(index: number): string {
    return `case${this.#number}-${index}`;
  }

  #nextId(): number {
    return ++this.#id;
  }

  /** The workload of an endpoint, and its far twin. */
  #workloads(endpoint: CaseEndpoint, i: number): object[] {
    if (isExternal(endpoint) || endpoint.kind === 'host') return [];
    const namespace = endpoint.namespace ?? 'default';
    const account = endpoint.serviceAccount;
    const labels = { ...endpoint.labels, ...(account ? { 'io.cilium.k8s.policy.serviceaccount': account } : {}) };
    const named = (endpoint.ports ?? []).filter(({ name }) => name !== undefined);
    const ports = Object.fromEntries(named.map(({ name, port, protocol }) => [name!, `${port}/${protocol ?? 'TCP'}`]));
    const document = (name: string, spec: object) => {
      this.#made.push(`${namespace}/${name}`);
      return { apiVersion: 'postern.dev/v1', kind: 'Workload', metadata: { namespace, name }, spec };
    };
    const cgroup = `/${this.#postern.cgroupPath}/${this.#cgroup(i)}`;
    const more = named.length > 0 ? { ports } : {};
    return [
      document(`e${i}`, { labels, match: { cgroup }, ...more }),
      document(`e${i}-far`, { labels, addresses: [FAR[i], FAR6[i]], ...more }),
    ];
  }
}

/** Words for `ip`. */
export function addAddress(address: string): string {
  return address.includes(':') ? `addr add ${address}/128 dev pt0 nodad` : `addr add ${address}/32 dev pt0`;
}

function prefixOf(address: string): string {
  return address.includes(':') ? `${address}/128` : `${address}/32`;
}
