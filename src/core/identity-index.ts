/**
 * All identities of a world, and for each question that policy asks (which identities does this selector select? which
 * prefixes lie in this one?) the answer, kept current as identities come and go.
 */
import { addressPrefix, contains, type Prefix, parsePrefix, prefixKey } from './cidr.ts';
import { type Identity, isOutside, isSubject, RESERVED } from './identity.ts';
import { samePorts } from './named-port.ts';
import { formatSelector, indexLabels, type LabelIndex, type Selector, selects } from './selector.ts';
import { identitiesOf, type World } from './world.ts';

export interface Member {
  readonly id: number;
  readonly identity: Identity;
  readonly labels: LabelIndex;
  /** What a CIDR rule compares: the prefix that the identity stands for. Absent for all but addresses outside. */
  readonly place: Prefix | undefined;
  /** Whether policy protects it. */
  readonly subject: boolean;
}

/** A question and its current answer. Shared by all who ask the same. */
export interface Question {
  readonly key: string;
  readonly holds: (member: Member) => boolean;
  readonly ids: Set<number>;
  /** Few members among which all are that it holds for; absent where that may be many. */
  readonly few: (() => Iterable<Member>) | undefined;
  users: number;
}

type IdentitySource = Pick<World, 'identities' | 'cidrs' | 'namespaces'>;

export class IdentityIndex {
  readonly #members = new Map<number, Member>();
  /** `key=value`, whatever the source → ids. */
  readonly #byLabel = new Map<string, Set<number>>();
  readonly #byPortName = new Map<string, Set<number>>();
  readonly #questions = new Map<string, Question>();
  #places: readonly { readonly key: string; readonly member: Member }[] | undefined;
  /** What the members are of. */
  #taken: IdentitySource | undefined;

  get(id: number): Member | undefined {
    return this.#members.get(id);
  }

  /** Identities that declare a port of this name. */
  withPortName(name: string): ReadonlySet<number> {
    return this.#byPortName.get(name) ?? new Set();
  }

  /** Takes over the identities of `world`: which changed, and for which questions the answer did. */
  update(world: World): { changed: ReadonlySet<number>; questions: ReadonlyMap<Question, readonly number[]> } {
    if (this.#taken !== undefined && sameIdentities(this.#taken, world))
      return { changed: new Set(), questions: new Map() };
    this.#taken = world;
    const listed = new Set<number>(world.identities.map(({ id }) => id));
    const next = identitiesOf(world);
    const changed = new Set<number>();
    for (const member of this.#members.values()) {
      if (!next.has(member.identity.id)) changed.add(this.#remove(member));
    }
    for (const identity of next.values()) {
      const subject = listed.has(identity.id) && isSubject(identity.id);
      const old = this.#members.get(identity.id);
      if (old && old.subject === subject && sameIdentity(old.identity, identity)) continue;
      if (old) this.#remove(old);
      changed.add(this.#add(toMember(identity, subject)));
    }
    return { changed, questions: this.#askAgain(changed) };
  }

  #askAgain(changed: ReadonlySet<number>): ReadonlyMap<Question, readonly number[]> {
    const questions = new Map<Question, readonly number[]>();
    for (const question of changed.size > 0 ? this.#questions.values() : []) {
      const toggled =
        changed.size > MANY && question.few ? askFew(question, changed) : this.#askEach(question, changed);
      if (toggled.length > 0) questions.set(question, toggled);
    }
    return questions;
  }

  #askEach(question: Question, changed: ReadonlySet<number>): number[] {
    const toggled: number[] = [];
    for (const id of changed) {
      const member = this.#members.get(id);
      const holds = member !== undefined && question.holds(member);
      if (holds !== question.ids.has(id)) toggled.push(id);
      if (holds) question.ids.add(id);
      else question.ids.delete(id);
    }
    return toggled;
  }

  /** Each `ask` must be paired with a `release`, so that answers that nobody wants are not kept. */
  askSelector(selector: Selector): Question {
    const holds = (member: Member) => selects(selector, member.labels);
    return this.#ask(`labels ${formatSelector(selector)}`, holds, () => this.#candidates(selector));
  }

  askCidr(prefix: string, except: readonly string[]): Question {
    const outer = parsePrefix(prefix)!;
    const holes = except.map((text) => parsePrefix(text)!);
    const holds = ({ place }: Member) =>
      place !== undefined && contains(outer, place) && !holes.some((hole) => contains(hole, place));
    const few = () => this.#inside(outer);
    return this.#ask(`cidr ${prefix} except ${except.join()}`, holds, few, few);
  }

  release(question: Question): void {
    question.users--;
    if (question.users === 0) this.#questions.delete(question.key);
  }

  #ask(key: string, holds: Question['holds'], candidates: () => Iterable<Member>, few?: Question['few']): Question {
    let question = this.#questions.get(key);
    if (!question) {
      const ids = new Set<number>();
      for (const member of candidates()) if (holds(member)) ids.add(member.id);
      question = { key, holds, ids, few, users: 0 };
      this.#questions.set(key, question);
    }
    question.users++;
    return question;
  }

  /** A superset of what the selector selects, small if one of its labels is rare. */
  *#candidates(selector: Selector): Iterable<Member> {
    let best: ReadonlySet<number>[] | undefined;
    let bestSize = this.#members.size;
    for (const { operator, key, values } of selector.requirements) {
      if (operator !== 'In') continue;
      const sets = values.map((value) => this.#byLabel.get(`${key}=${value}`) ?? new Set<number>());
      const size = sets.reduce((sum, set) => sum + set.size, 0);
      if (size >= bestSize) continue;
      best = sets;
      bestSize = size;
    }
    if (!best) return yield* this.#members.values();
    for (const set of best) for (const id of set) yield this.#members.get(id)!;
  }

  /** Members outside whose address begins like the prefix: one run of the sorted order. */
  *#inside(outer: Prefix): Iterable<Member> {
    this.#places ??= [...this.#members.values()]
      .filter(({ place }) => place)
      .map((member) => ({ key: prefixKey(member.place!), member }))
      .sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
    const first = prefixKey(outer);
    let low = 0;
    let high = this.#places.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#places[middle]!.key < first) low = middle + 1;
      else high = middle;
    }
    for (let i = low; i < this.#places.length; i++) {
      const { member } = this.#places[i]!;
      if (!contains(outer, { ...member.place!, length: addressPrefix(member.place!.bytes).length })) return;
      yield member;
    }
  }

  #add(member: Member): number {
    this.#members.set(member.id, member);
    for (const text of labelKeys(member)) addTo(this.#byLabel, text, member.id);
    for (const name of Object.keys(member.identity.ports ?? {})) addTo(this.#byPortName, name, member.id);
    if (member.place) this.#places = undefined;
    return member.id;
  }

  #remove(member: Member): number {
    this.#members.delete(member.id);
    for (const text of labelKeys(member)) removeFrom(this.#byLabel, text, member.id);
    for (const name of Object.keys(member.identity.ports ?? {})) removeFrom(this.#byPortName, name, member.id);
    if (member.place) this.#places = undefined;
    return member.id;
  }
}

/** So many changes at once are not asked one by one of each question: thousands of prefixes are. */
const MANY = 4;

/** Changes and order as of asking each of `changed`. */
function askFew({ holds, ids, few }: Question, changed: ReadonlySet<number>): number[] {
  const now = new Set<number>();
  for (const member of few!()) if (holds(member)) now.add(member.id);
  const toggled = [...ids].filter((id) => changed.has(id) && !now.has(id));
  for (const id of toggled) ids.delete(id);
  for (const id of now) {
    if (ids.has(id)) continue;
    ids.add(id);
    toggled.push(id);
  }
  return toggled;
}

/** The very same objects: most changes are of one policy, and there may be many thousand prefixes. */
function sameIdentities(a: IdentitySource, b: IdentitySource): boolean {
  const names = Object.keys(b.namespaces);
  return (
    a.cidrs === b.cidrs &&
    a.identities.length === b.identities.length &&
    a.identities.every((identity, i) => identity === b.identities[i]) &&
    names.length === Object.keys(a.namespaces).length &&
    names.every((name) => a.namespaces[name] === b.namespaces[name])
  );
}

function toMember(identity: Identity, subject: boolean): Member {
  return { id: identity.id, identity, labels: indexLabels(identity.labels), place: placeOf(identity), subject };
}

function placeOf({ id, labels }: Identity): Prefix | undefined {
  if (!isOutside(id)) return undefined;
  if (id === RESERVED['world-ipv4']) return parsePrefix('0.0.0.0/0');
  if (id === RESERVED['world-ipv6']) return parsePrefix('::/0');
  const cidr = labels.find((label) => label.startsWith('cidr:'));
  return cidr === undefined ? undefined : parsePrefix(cidr.slice('cidr:'.length));
}

function* labelKeys(member: Member): Iterable<string> {
  for (const labels of member.labels.values()) for (const { key, value } of labels) yield `${key}=${value}`;
}

function sameIdentity(a: Identity, b: Identity): boolean {
  if (a === b) return true;
  return (
    a.mode === b.mode &&
    a.labels.length === b.labels.length &&
    a.labels.every((label, i) => label === b.labels[i]) &&
    samePorts(a.ports, b.ports)
  );
}

function addTo(index: Map<string, Set<number>>, key: string, id: number): void {
  const ids = index.get(key);
  if (ids) ids.add(id);
  else index.set(key, new Set([id]));
}

function removeFrom(index: Map<string, Set<number>>, key: string, id: number): void {
  const ids = index.get(key);
  ids?.delete(id);
  if (ids?.size === 0) index.delete(key);
}
