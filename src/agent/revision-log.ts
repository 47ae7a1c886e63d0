import { type FlowEvent, FlowFlag } from '../datapath/postern.skel.ts';

const DIR_INGRESS = 1;

/**
 * Which revision a verdict is of. The kernel stamps an event with the generation of the identity that decided; a generation
 * stays while revisions pass that do not touch its identity, and then says the same as each of them. A verdict is of the
 * newest of those that was whole in the kernel when it was given, or else of the one that brought the generation.
 */
export interface Flip {
  readonly identity: number;
  /** 0 = not enforced any more. */
  readonly generation: number;
}

/** A generation, or a time in which an identity was not enforced; over from revision `until` on. */
interface Period {
  readonly from: number;
  until?: number;
}

interface OpenPeriod extends Period {
  /** It may have begun then, since 1970. */
  readonly fromUs: number;
  /** By then it was over. */
  untilUs?: number;
}

/** Revisions that are remembered. */
const REVISIONS = 1000;
/** Generations that are over and remembered: events of a moment ago may still come. */
const OVER = 4096;

/** From a judgement to the stamp of its event, on a busy machine. */
const STAMP_US = 20_000;

/** Times in which an identity was not enforced that are remembered of it. */
const OPEN = 4;

/** What comes in is judged by who receives it; what goes out by who sends it, and by who receives it if that is on this host. */
export function deciders(event: Pick<FlowEvent, 'direction' | 'flags' | 'source_id' | 'destination_id'>): number[] {
  const { direction, flags, source_id: source, destination_id: destination } = event;
  if (direction === DIR_INGRESS) return [destination];
  return flags & FlowFlag.FLOW_BOTH ? [source, destination] : [source];
}

export class RevisionLog {
  /** Ascending; `upTo` is the highest generation when it was whole. */
  readonly #whole: { readonly revision: number; readonly atUs: number; upTo: number }[] = [];
  readonly #periods = new Map<number, Period>();
  readonly #open = new Map<number, OpenPeriod[]>();
  readonly #current = new Map<number, number>();

  /**
   * Times are microseconds since 1970.
   * @param generation the highest that an identity carries
   * @param fromUs before the first flip
   * @param atUs after the last
   */
  applied(revision: number, flips: readonly Flip[], generation: number, fromUs: number, atUs: number): void {
    for (const flip of flips) this.#flip(revision, flip, fromUs, atUs);
    const last = this.#whole.at(-1);
    if (last !== undefined && last.revision >= revision) last.upTo = generation;
    else this.#whole.push({ revision, atUs, upTo: generation });
    if (this.#whole.length > REVISIONS) this.#whole.shift();
    if (this.#periods.size > this.#current.size + 2 * OVER) this.#forget();
  }

  /** @param ends who may have decided, see deciders(); the answer is undefined before the first revision */
  of(generation: number, ends: readonly number[], atUs: number): number | undefined {
    if (generation === 0) return this.#newest(this.#openPeriod(ends, atUs), atUs);
    const period = this.#periods.get(generation);
    if (period !== undefined) return this.#newest(period, atUs);
    return this.#whole.find(({ upTo }) => generation <= upTo)?.revision; // of an earlier run, or forgotten
  }

  #newest({ from, until = Number.POSITIVE_INFINITY }: Period, atUs: number): number | undefined {
    const newest = this.#whole.findLast((whole) => whole.atUs <= atUs && whole.revision < until) ?? this.#whole[0];
    return newest === undefined ? undefined : Math.max(from, newest.revision);
  }

  #flip(revision: number, { identity, generation }: Flip, fromUs: number, atUs: number): void {
    const before = this.#current.get(identity);
    this.#current.set(identity, generation);
    const over = before === undefined ? undefined : this.#periods.get(before);
    if (over !== undefined) over.until = revision;
    if (generation !== 0) {
      this.#periods.set(generation, { from: revision });
      const open = this.#open.get(identity) ?? [];
      const last = open.at(-1);
      if (before === undefined) this.#open.set(identity, [{ from: 0, fromUs: 0, until: revision, untilUs: atUs }]);
      else if (before === 0 && last !== undefined) Object.assign(last, { until: revision, untilUs: atUs });
      return;
    }
    this.#open.set(identity, [...(this.#open.get(identity) ?? []), { from: revision, fromUs }].slice(-OPEN));
  }

  /** Nobody who decided was enforced: the time in which that held, of those that were so at the stamp or a moment before. */
  #openPeriod(ends: readonly number[], atUs: number): Period {
    const meant = ends
      .flatMap((end) => this.#open.get(end)?.findLast(({ fromUs }) => fromUs <= atUs) ?? [])
      .filter(({ untilUs }) => untilUs === undefined || untilUs >= atUs - STAMP_US);
    return {
      from: Math.max(0, ...meant.map(({ from }) => from)),
      until: Math.min(...meant.map(({ until = Number.POSITIVE_INFINITY }) => until)),
    };
  }

  /** Those that have been over for longest come first. */
  #forget(): void {
    const most = this.#current.size + OVER;
    for (const [generation, { until }] of this.#periods) {
      if (this.#periods.size <= most) return;
      if (until !== undefined) this.#periods.delete(generation);
    }
  }
}
