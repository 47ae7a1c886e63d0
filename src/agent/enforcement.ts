import { isDeepStrictEqual } from 'node:util';
import type { WireWorkload } from '../api/agent-stream.ts';
import { type CompiledDirection, type CompiledIdentity, PolicyCompiler } from '../core/compile.ts';
import { selectsHost } from '../core/host-selector.ts';
import { type IdentityId, RESERVED, toIdentityId } from '../core/identity.ts';
import type { Container } from '../core/match-place.ts';
import type { MatchProgram, RegisteredWorkload } from '../core/match-program.ts';
import { compileMatch } from '../core/match-program.ts';
import { lesser, type Mode } from '../core/mode.ts';
import { declaredOpens, joinOpens, type Opens } from '../core/opens.ts';
import { addressIdentities } from '../core/workload-addresses.ts';
import type { Kernel } from '../datapath/kernel.ts';
import { PolicyApplier } from '../datapath/policy-applier.ts';
import { revoke } from '../datapath/revoke.ts';
import { RuleTable } from '../datapath/rule-table.ts';
import { type DesiredState, EMPTY_STATE, workloadKey } from './desired-state.ts';
import { withHostMode } from './host-mode.ts';
import { type Labels, scopeOf } from './labels.ts';
import { ephemeralPorts } from './listening.ts';
import { ListeningPorts } from './listening-ports.ts';
import { loadMatchFacts, matchFacts } from './match-facts.ts';
import type { NetworkNamespaces } from './network-namespaces.ts';
import type { AgentOptions } from './options.ts';
import { type PendingSetting, withInit, withPending } from './pending.ts';
import { PolicyWorld } from './policy-world.ts';
import { RevisionLog } from './revision-log.ts';
import { createSocketUnitFiles } from './socket-units.ts';
import { runCalmly } from './steps.ts';
import type { UserNames } from './user-names.ts';

/** Old slots are swept and connections judged a second time after this: whoever read the old word is done by then. */
const SETTLE_MS = 50;

type Settings = Pick<
  AgentOptions,
  'hostLabels' | 'enablePolicy' | 'pending' | 'mode' | 'deny' | 'cgroupMount' | 'cgroupRoot'
>;

/**
 * Desired state → kernel: compile, apply, label, revoke. All or nothing: when a revision does not compile or does not
 * fit, the kernel keeps the one before.
 *
 * Order: policy of new identities before their first process is labelled; policy of identities that are gone after the
 * last one is not.
 */
export class Enforcement {
  readonly rules = new RuleTable();
  readonly revisions = new RevisionLog();
  /** What runs in containers now; undefined = nobody can tell. */
  containers: () => readonly Container[] | undefined = () => undefined;
  readonly #kernel: Kernel;
  readonly #labels: Labels;
  readonly #netns: NetworkNamespaces;
  readonly #users: UserNames;
  readonly #pending: PendingSetting;
  readonly #mode: Mode;
  readonly #hostLabels: Readonly<Record<string, string>>;
  readonly #scope: string;
  readonly #sockets = createSocketUnitFiles();
  readonly #listening: ListeningPorts;
  /** Text of the installed match program, to compare with. */
  #installed: { readonly program: MatchProgram; readonly text: string } | undefined;
  readonly #world: PolicyWorld;
  readonly #compiler = new PolicyCompiler();
  readonly #applier: PolicyApplier;
  #applied: DesiredState = EMPTY_STATE;
  #settle: NodeJS.Timeout | undefined;
  #revoking: NodeJS.Timeout | undefined;
  #unwatch: (() => void) | undefined;
  /** What the last look at users and files found. */
  #looked: { readonly workloads: DesiredState['workloads']; readonly facts: string } | undefined;
  #isLooking = false;
  #looksDue = false;
  #isStopped = false;
  /** The kernel may not hold what the compiler says: at the start, and after a refusal. */
  #behind = true;

  constructor(
    kernel: Kernel,
    labels: Labels,
    netns: NetworkNamespaces,
    users: UserNames,
    { hostLabels, enablePolicy, pending = 'allow', mode = 'enforce', deny, cgroupMount, cgroupRoot }: Settings,
  ) {
    this.#hostLabels = hostLabels;
    this.#scope = scopeOf(cgroupMount, cgroupRoot);
    this.#pending = pending;
    this.#mode = mode;
    this.#world = new PolicyWorld((identity) => this.#listening.of(identity), enablePolicy, hostLabels);
    this.#kernel = kernel;
    this.#labels = labels;
    this.#netns = netns;
    this.#users = users;
    this.#applier = new PolicyApplier(kernel.maps, this.rules, deny);
    this.#listening = new ListeningPorts(kernel.maps, ephemeralPorts());
  }

  get applied(): DesiredState {
    return this.#applied;
  }

  /** Which directions of an identity are enforced now. */
  enforced(identity: number): { ingress: boolean; egress: boolean } {
    const compiled = this.#compiler.all().get(identity as IdentityId);
    return { ingress: compiled?.ingress.enforced ?? false, egress: compiled?.egress.enforced ?? false };
  }

  /** What policy does to an identity here: its mode is the lesser of the host's and its own. */
  inEffect(identity: number): { mode: Mode; ingress: InEffect; egress: InEffect } {
    const compiled = this.#compiler.all().get(identity as IdentityId);
    return {
      mode: lesser(this.#mode, this.#applied.identities.get(identity)?.mode),
      ingress: inEffect(compiled?.ingress),
      egress: inEffect(compiled?.egress),
    };
  }

  /** At the start, before anything is attached: policy and match tables, no labels yet. */
  prepare(state: DesiredState): void {
    this.#policy(state, state.revision);
    this.#labels.install(this.#program(state));
    this.#applied = state;
  }

  /** Throws, with the kernel unchanged, when the revision cannot be applied. */
  apply(state: DesiredState): void {
    const before = this.#applied;
    const gone = [...before.identities].filter(([id]) => !state.identities.has(id));
    const bridging = gone.length === 0 ? state : { ...state, identities: new Map([...gone, ...state.identities]) };
    this.#policy(bridging, state.revision);
    this.#applied = bridging;
    if (state.workloads !== before.workloads) this.#labels.apply(this.#program(state));
    if (gone.length > 0) this.#policy(state, state.revision);
    this.#applied = state;
    this.revoke();
    clearTimeout(this.#settle);
    this.#settle = setTimeout(() => {
      this.#applier.sweep();
      this.revoke(); // a connect() that was judged before the flip and hashed after the first pass
    }, SETTLE_MS);
  }

  /** The match program of this host with one registration more, or in place of one; nothing changes. */
  programWith(workload: WireWorkload): MatchProgram {
    const workloads = new Map([...this.#applied.workloads, [workloadKey(workload), workload]]);
    return this.#program({ ...this.#applied, workloads });
  }

  /** A container came or went. */
  refreshContainers(): void {
    const isNamed = ({ match }: { match: readonly object[] }) => match.some((clause) => 'container' in clause);
    if ([...this.#applied.workloads.values()].some(isNamed)) this.#takeProgram(this.#program(this.#applied));
  }

  /** Which service a new socket unit starts is known before systemd starts it. */
  watchUnits(onError: (error: Error) => void): void {
    this.#unwatch = this.#sockets.watch(() => void this.refreshMatches().catch(onError));
  }

  /**
   * User names, files behind globs: looked at again without a new revision, in the background. Who asks during a look gets
   * another one, since that one may have passed by what changed.
   */
  async refreshMatches(): Promise<void> {
    this.#looksDue = true;
    if (this.#isLooking) return;
    this.#isLooking = true;
    try {
      while (this.#looksDue && !this.#isStopped) {
        this.#looksDue = false;
        await this.#lookAtFacts();
      }
    } finally {
      this.#isLooking = false;
    }
  }

  async #lookAtFacts(): Promise<void> {
    const { workloads } = this.#applied;
    const here = this.#here(this.#applied);
    const containers = this.containers();
    const facts = await runCalmly(matchFacts(here, this.#users, this.#sockets, containers, this.#scope));
    const text = JSON.stringify(facts, (_, value) => (isList(value) ? [...value] : value));
    const isOld = workloads !== this.#applied.workloads || !isDeepStrictEqual(containers, this.containers());
    if (this.#isStopped || isOld) return;
    if (this.#looked?.workloads === workloads && this.#looked.facts === text) return;
    this.#takeProgram(compileMatch(here, facts));
    this.#looked = { workloads, facts: text }; // what could not be applied is tried again
  }

  #takeProgram(program: MatchProgram): void {
    if (this.#installed?.program !== this.#labels.program)
      this.#installed = { program: this.#labels.program, text: JSON.stringify(this.#labels.program) };
    if (JSON.stringify(program) !== this.#installed.text) this.#labels.apply(program);
  }

  /** What workloads with a port named `listening` listen on: looked at anew. A connection that is open stays. */
  refreshListening(): void {
    if (this.#listening.refresh(this.#applied).size > 0) this.#policy(this.#applied, this.#applied.revision);
  }

  /** Once for all that comes within a few milliseconds. */
  revokeSoon(): void {
    this.#revoking ??= setTimeout(() => {
      this.#revoking = undefined;
      this.revoke();
    }, 5);
  }

  /** Every connection is judged again; those without a right are destroyed. */
  revoke(): void {
    this.#netns.each(() => revoke(this.#kernel));
  }

  stop(): void {
    this.#isStopped = true;
    this.#unwatch?.();
    clearTimeout(this.#settle);
    clearTimeout(this.#revoking);
  }

  #here(state: DesiredState): RegisteredWorkload[] {
    const here = [...state.workloads.values()].filter(({ hosts }) => selectsHost(hosts, this.#hostLabels));
    return here as RegisteredWorkload[];
  }

  #program(state: DesiredState): MatchProgram {
    const here = this.#here(state);
    return compileMatch(here, loadMatchFacts(here, this.#users, this.#sockets, this.containers(), this.#scope));
  }

  /** What the registrations for this host let their workloads open. */
  #opens(state: DesiredState): ReadonlyMap<number, Opens> {
    const opens = new Map<number, Opens>();
    for (const { identity, opens: declared, hosts } of state.workloads.values())
      if (declared !== undefined && selectsHost(hosts, this.#hostLabels))
        opens.set(identity, joinOpens(declaredOpens(declared), opens.get(identity)));
    return opens;
  }

  #policy(state: DesiredState, revision: number): void {
    this.#listening.refresh(state);
    const world = withHostMode(withInit(this.#world.of(state), this.#pending), this.#mode);
    const updated = this.#compiler.update(world);
    // After a refusal the compiler is ahead of the kernel: then everything is compared, not only what changed.
    const changed = new Map<IdentityId, CompiledIdentity | undefined>(this.#behind ? this.#compiler.all() : updated);
    if (this.#behind)
      for (const id of this.#applier.enforced)
        if (!changed.has(id as IdentityId)) changed.set(id as IdentityId, undefined);
    const addresses = addressIdentities(world.cidrs, state.workloads.values());
    this.#behind = true;
    for (const [id, compiled] of changed) changed.set(id, withPending(id, compiled, this.#pending));
    const fromUs = wallUs();
    const { generation, flips } = this.#applier.apply({ changed, addresses, opens: this.#opens(state) });
    this.#kernel.setHostPolicy(this.#compiler.all().has(toIdentityId(RESERVED.host)));
    this.#behind = false;
    this.revisions.applied(revision, flips, generation, fromUs, wallUs());
  }
}

type InEffect = 'enforced' | 'audit' | 'none';

function inEffect(direction: CompiledDirection | undefined): InEffect {
  if (!direction?.enforced) return 'none';
  return direction.audit ? 'audit' : 'enforced';
}

function isList(value: unknown): value is Iterable<unknown> {
  return value instanceof Map || value instanceof Set;
}

/** Microseconds since 1970, by the clock of `createKernelClock`. */
function wallUs(): number {
  return (performance.timeOrigin + performance.now()) * 1000;
}
