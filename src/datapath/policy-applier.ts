import type { CompiledDirection, CompiledIdentity } from '../core/compile.ts';
import type { Denial } from '../core/denial.ts';
import { joinOpens, type Opens, policyOpens } from '../core/opens.ts';
import { type AddressIdentity, AddressSlots } from './address-slots.ts';
import { IdentityWords } from './identity-words.ts';
import type { DatapathMaps } from './maps.ts';
import { PortTables } from './port-tables.ts';
import type { IdentCfg, L3Key, L3Val } from './postern.skel.ts';
import { openFlags, RawOpen } from './raw-open.ts';
import type { RuleTable } from './rule-table.ts';

const INGRESS = 1;
const EGRESS = 2;
const IDENT_INGRESS = 1;
const IDENT_EGRESS = 2;
/**
 * No identity: the highest generation of those that are no longer enforced. A later run must not give it out again, or
 * a conversation that was judged under it would pass unjudged.
 */
const GENERATION_KEY = 0;

export interface PolicyChange {
  /** Desired state of identities that changed; undefined = no longer enforced. */
  readonly changed: ReadonlyMap<number, CompiledIdentity | undefined>;
  /** All prefixes with an identity. */
  readonly addresses: readonly AddressIdentity[];
  /** What registrations open, by identity. */
  readonly opens?: ReadonlyMap<number, Opens>;
}

export interface Applied {
  /** Highest generation that an identity now carries. */
  readonly generation: number;
  /** Who reads another word now; generation 0 = not enforced any more. */
  readonly flips: readonly { readonly identity: number; readonly generation: number }[];
}

/** The change does not fit: nothing was written. */
export class CapacityError extends Error {
  readonly map: string;
  constructor(map: string, wanted: number, limit: number) {
    super(`Map "${map}" is too small: ${wanted} entries wanted, ${limit} fit`);
    this.name = 'CapacityError';
    this.map = map;
  }
}

/** Two identities with the same low 16 bits, as of two clusters: nothing was written. */
export class PlaceError extends CapacityError {
  constructor(identity: number, holder: number) {
    super('ident_cfg', 2, 1);
    this.message = `Identities ${holder} and ${identity} have the same number in two clusters: one host can enforce one of them`;
    this.name = 'PlaceError';
  }
}

/**
 * Makes the kernel's policy equal to the compiled one, in this order: count (does it fit?), new port tables, idle slots,
 * idle address slot, then one 8-byte store per identity, those that lose rights first. What the old slots held is
 * removed by `sweep()`, a moment later: a program that read the old word may still be using it.
 */
export class PolicyApplier {
  readonly #maps: DatapathMaps;
  readonly #words: IdentityWords;
  readonly #addresses: AddressSlots;
  readonly #tables: PortTables;
  /** What the active slot of each identity holds: key text → value. */
  readonly #active = new Map<number, Active>();
  readonly #stale: L3Key[] = [];
  readonly #raw: RawOpen;
  readonly #l4 = new Set<number>();
  /** Active entries that refer to a table. */
  readonly #uses = new Map<number, number>();
  #generation = 0;

  /** @param denial how a denial feels of which no policy says it */
  constructor(maps: DatapathMaps, rules: RuleTable, denial: Denial = 'eperm') {
    this.#maps = maps;
    this.#words = new IdentityWords(maps);
    this.#addresses = new AddressSlots(maps, () => [...this.#active.values()].map(({ cfg }) => cfg.ip_slot));
    this.#tables = new PortTables(rules, denial);
    this.#raw = new RawOpen(maps);
    for (const [id, cfg] of this.#words.entries()) {
      if (id !== GENERATION_KEY) this.#active.set(id, { cfg, entries: new Map(), byPolicy: undefined });
      this.#generation = Math.max(this.#generation, cfg.gen);
    }
    for (const [key, value] of maps.policy_l3.entriesBatch()) {
      const identity = this.#active.get(key.local);
      if (identity !== undefined && identity.cfg.slot === key.slot) identity.entries.set(entryText(key), value);
      else this.#stale.push(key);
    }
    for (const key of maps.policy_l4.keys()) this.#l4.add(key.table);
    for (const { entries } of this.#active.values()) this.#count(entries.values(), 1);
  }

  /** Identities that the kernel enforces now, also those of an earlier run of the agent. */
  get enforced(): ReadonlySet<number> {
    return new Set(this.#active.keys());
  }

  apply({ changed, addresses, opens = new Map() }: PolicyChange): Applied {
    this.sweep();
    const plans = [...changed]
      .map(([id, compiled]) => this.#plan(id, compiled, opens.get(id)))
      .filter((plan) => plan !== undefined);
    for (const [id, { cfg, byPolicy }] of this.#active)
      if (!changed.has(id) && byPolicy !== undefined && !this.#isOpen(id, joinOpens(byPolicy, opens.get(id))))
        plans.push({
          id,
          flags: cfg.flags,
          loses: false,
          moves: true,
          opens: joinOpens(byPolicy, opens.get(id)),
          byPolicy,
        });
    this.#requireRoom(plans, addresses.length);
    const ipSlot = this.#addresses.prepare(addresses) ?? this.#addresses.active;
    this.#fill(plans);
    for (const plan of plans) this.#raw.add(plan.id, plan.opens?.raw ?? []);
    const planned = new Set(plans.map((plan) => plan.id));
    for (const [id, { cfg }] of this.#active)
      if (!planned.has(id) && cfg.ip_slot !== ipSlot) plans.push({ id, flags: cfg.flags, loses: false, moves: true });
    plans.sort((a, b) => Number(b.loses) - Number(a.loses));
    const flips = plans.map((plan) => ({ identity: plan.id, generation: this.#flip(plan, ipSlot) }));
    for (const { id, opens, moves } of plans)
      if (opens !== undefined || !moves) this.#raw.keepOnly(id, opens?.raw ?? []);
    if (ipSlot !== this.#addresses.active) this.#addresses.flip(ipSlot);
    return { generation: this.#generation, flips };
  }

  /** Removes what the flips left behind. Call it some milliseconds after `apply`. */
  sweep(): void {
    if (this.#stale.length > 0) this.#maps.policy_l3.deleteBatch(this.#stale.splice(0));
    this.#addresses.sweep();
    const unused = [...this.#l4].filter((table) => (this.#uses.get(table) ?? 0) === 0);
    if (unused.length === 0) return;
    const gone = new Set(unused);
    const foreign = unused.some((table) => this.#tables.entries(table).length === 0); // of an earlier run
    const keys = foreign
      ? [...this.#maps.policy_l4.keys()].filter((key) => gone.has(key.table))
      : unused.flatMap((table) => this.#tables.entries(table).map(([key]) => key));
    this.#maps.policy_l4.deleteBatch(keys);
    for (const table of unused) this.#l4.delete(table);
  }

  #count(values: Iterable<L3Val>, by: 1 | -1): void {
    for (const { table } of values) if (table !== 0) this.#uses.set(table, (this.#uses.get(table) ?? 0) + by);
  }

  /** Whether the kernel lets this identity open just that. */
  #isOpen(id: number, opens: Opens): boolean {
    return this.#active.get(id)?.cfg.opens === openFlags(opens) && this.#raw.isSame(id, opens.raw);
  }

  #plan(id: number, compiled: CompiledIdentity | undefined, declared: Opens | undefined): Plan | undefined {
    const active = this.#active.get(id);
    const flags = (compiled?.ingress.enforced ? IDENT_INGRESS : 0) | (compiled?.egress.enforced ? IDENT_EGRESS : 0);
    if (flags === 0 || compiled === undefined)
      return active === undefined ? undefined : { id, flags: 0, loses: false, moves: false };
    const slot = active === undefined ? 0 : 1 - active.cfg.slot;
    const entries = new Map<string, readonly [L3Key, L3Val]>();
    this.#direction(entries, id, slot, INGRESS, compiled.ingress);
    this.#direction(entries, id, slot, EGRESS, compiled.egress);
    const byPolicy = policyOpens(compiled);
    const opens = joinOpens(byPolicy, declared);
    if (active !== undefined && active.cfg.flags === flags && sameEntries(active.entries, entries)) {
      active.byPolicy = byPolicy;
      if (this.#isOpen(id, opens)) return undefined;
    }
    const loses = active === undefined || (flags & ~active.cfg.flags) !== 0 || lostSomething(active.entries, entries);
    return { id, flags, slot, entries, loses, moves: false, opens, byPolicy };
  }

  #direction(
    into: Map<string, readonly [L3Key, L3Val]>,
    local: number,
    slot: number,
    direction: number,
    compiled: CompiledDirection,
  ): void {
    if (!compiled.enforced) return;
    for (const [remote, table] of compiled.peers) {
      const key = { local, remote, direction, slot, pad: 0 };
      into.set(entryText(key), [key, { ...this.#tables.value(table), pad: new Uint8Array(3) }]);
    }
  }

  #requireRoom(plans: readonly Plan[], addresses: number): void {
    let l3 = 0;
    for (const { entries } of this.#active.values()) l3 += entries.size;
    for (const plan of plans) l3 += plan.entries?.size ?? 0;
    check('policy_l3', l3, this.#maps.policy_l3.maxEntries);
    const tables = new Set(this.#l4);
    let l4 = 0;
    for (const plan of plans)
      for (const [, value] of plan.entries?.values() ?? []) if (value.table !== 0) tables.add(value.table);
    for (const table of tables) l4 += this.#tables.entries(table).length;
    check('policy_l4', l4, this.#maps.policy_l4.maxEntries);
    check('ip_cidr', addresses * 2, this.#maps.ip_cidr.maxEntries);
    const more = plans.filter(({ id, entries }) => entries !== undefined && !this.#active.has(id)).length;
    check('ident_cfg', 1 + this.#active.size + more, this.#words.places); // 1: GENERATION_KEY
    this.#requirePlaces(plans);
    const raw = this.#raw.room(new Map(plans.map(({ id, opens }) => [id, opens?.raw ?? []])));
    check('raw_open', raw.wanted, raw.limit);
  }

  #requirePlaces(plans: readonly Plan[]): void {
    const goes = new Set(plans.filter(({ flags, moves }) => flags === 0 && !moves).map(({ id }) => id));
    const taken = new Map<number, number>();
    for (const { id, flags } of plans) {
      if (flags === 0) continue;
      const place = id % this.#words.places;
      const holder = taken.get(place) ?? this.#words.holder(id);
      if (holder !== undefined && holder !== id && !goes.has(holder)) throw new PlaceError(id, holder);
      taken.set(place, id);
    }
  }

  /** What was written of it when it throws is removed by the next sweep. */
  #fill(plans: readonly Plan[]): void {
    const entries = function* () {
      for (const plan of plans) if (plan.entries !== undefined) yield* plan.entries.values();
    };
    const tables = new Set<number>();
    for (const [, { table }] of entries()) if (table !== 0 && !this.#l4.has(table)) tables.add(table);
    for (const table of tables) this.#l4.add(table);
    this.#maps.policy_l4.updateBatch([...tables].flatMap((table) => this.#tables.entries(table)));
    try {
      this.#maps.policy_l3.updateBatch(entries());
    } catch (error) {
      for (const [key] of entries()) this.#stale.push(key);
      throw error;
    }
  }

  /** The generation that the identity carries now. */
  #flip(plan: Plan, ipSlot: number): number {
    const before = this.#active.get(plan.id);
    const generation = ++this.#generation;
    if (plan.moves && before !== undefined) {
      const opens = plan.opens === undefined ? before.cfg.opens : openFlags(plan.opens);
      before.cfg = { ...before.cfg, gen: generation, ip_slot: ipSlot, opens };
      this.#words.set(plan.id, before.cfg);
      return generation;
    }
    if (before !== undefined) {
      this.#count(before.entries.values(), -1);
      for (const text of before.entries.keys()) this.#stale.push(entryKey(plan.id, before.cfg.slot, text));
    }
    if (plan.entries === undefined) {
      const gone = { gen: generation, slot: 0, ip_slot: 0, flags: 0, opens: 0 };
      this.#words.set(GENERATION_KEY, gone);
      this.#words.delete(plan.id);
      this.#active.delete(plan.id);
      return 0;
    }
    const opens = plan.opens === undefined ? 0 : openFlags(plan.opens);
    const cfg: IdentCfg = { gen: generation, slot: plan.slot ?? 0, ip_slot: ipSlot, flags: plan.flags, opens };
    this.#words.set(plan.id, cfg);
    const entries = new Map([...plan.entries].map(([text, [, value]]) => [text, value]));
    this.#count(entries.values(), 1);
    this.#active.set(plan.id, { cfg, entries, byPolicy: plan.byPolicy });
    return generation;
  }
}

interface Active {
  cfg: IdentCfg;
  readonly entries: Map<string, L3Val>;
  /** What its policy opens; undefined = of an earlier run, not compared yet. */
  byPolicy: Opens | undefined;
}

interface Plan {
  readonly id: number;
  readonly flags: number;
  readonly slot?: number;
  /** Absent = the identity is no longer enforced, or only moves to another address slot. */
  readonly entries?: ReadonlyMap<string, readonly [L3Key, L3Val]>;
  readonly loses: boolean;
  /** Only to another address slot, or to what it may open. */
  readonly moves: boolean;
  /** Absent = as before; without `moves`: the identity is no longer enforced. */
  readonly opens?: Opens;
  readonly byPolicy?: Opens;
}

function entryText(key: { direction: number; remote: number }): string {
  return `${key.direction}:${key.remote}`;
}

function entryKey(local: number, slot: number, text: string): L3Key {
  const [direction, remote] = text.split(':').map(Number);
  return { local, remote: remote!, direction: direction!, slot, pad: 0 };
}

function sameEntries(
  active: ReadonlyMap<string, L3Val>,
  wanted: ReadonlyMap<string, readonly [L3Key, L3Val]>,
): boolean {
  if (active.size !== wanted.size) return false;
  for (const [text, [, value]] of wanted) {
    const before = active.get(text);
    if (
      before === undefined ||
      before.table !== value.table ||
      before.rule !== value.rule ||
      before.verdict !== value.verdict
    )
      return false;
  }
  return true;
}

/** Whether some peer might have lost a right: cautious, only the order of flips depends on it. */
function lostSomething(
  active: ReadonlyMap<string, L3Val>,
  wanted: ReadonlyMap<string, readonly [L3Key, L3Val]>,
): boolean {
  for (const [text, before] of active) {
    const after = (wanted.get(text) ?? wanted.get(`${text.split(':')[0]}:0`))?.[1];
    if (after === undefined) continue; // the direction is no longer enforced
    if (after.table !== before.table || after.verdict !== before.verdict)
      if (after.table !== 0 || after.verdict !== 1) return true;
  }
  return false;
}

function check(map: string, wanted: number, limit: number): void {
  if (wanted > limit) throw new CapacityError(map, wanted, limit);
}
