/** Replays what was seen against a proposed state: which kinds of connection would be judged otherwise. */
import type { SimulatedGroup, Simulation } from '../api/simulate.ts';
import type { SideVerdict } from '../core/verdict.ts';
import { FlowJudge, type Judged } from './flow-judge.ts';
import { hostNotes } from './host-notes.ts';
import { MOST_KINDS, type Observed } from './observed.ts';
import type { Reports } from './reports.ts';
import type { State } from './state.ts';

/** Groups that are listed, those with most connections first. */
const MOST_GROUPS = 1000;

export function simulate(
  { kinds, isWhole }: { readonly kinds: readonly Observed[]; readonly isWhole: boolean },
  now: State,
  proposed: State,
  reports: Reports,
): Pick<Simulation, 'flows' | 'changed' | 'groups' | 'unjudged' | 'notes'> {
  const judge = new FlowJudge(now, reports);
  const before = kinds.map((flow) => judge.judge(flow));
  const after = new FlowJudge(proposed, reports, judge);
  const groups = new Map<string, Group>();
  const unjudged = new Map<string, number>();
  let [flows, changed] = [0, 0];
  for (const [i, flow] of kinds.entries()) {
    flows += flow.flows;
    const [was, is] = [before[i]!, after.judge(flow)];
    const why = typeof was === 'string' ? was : typeof is === 'string' ? is : undefined;
    if (why !== undefined) unjudged.set(why, (unjudged.get(why) ?? 0) + flow.flows);
    else if ((was as Judged).verdict !== (is as Judged).verdict) {
      changed += flow.flows;
      add(groups, flow, was as Judged, is as Judged);
    }
  }
  const all = [...groups.values()].map(toGroup).sort(byWeight);
  const notes = [
    ...(isWhole
      ? []
      : [`more than ${MOST_KINDS} kinds of connection: the rarest were left out; a shorter time has fewer`]),
    ...(all.length > MOST_GROUPS ? [`${all.length} groups: the ${MOST_GROUPS} with most connections are listed`] : []),
    ...hostNotes(reports),
  ];
  return {
    flows,
    changed,
    groups: all.slice(0, MOST_GROUPS),
    unjudged: [...unjudged].map(([text, n]) => ({ why: text, flows: n })),
    notes,
  };
}

interface Group extends Omit<SimulatedGroup, 'connections'> {
  /** A connection within one host is told by both sides. */
  readonly told: { INGRESS: number; EGRESS: number };
  readonly recorded: Record<string, number>;
  first: string;
  last: string;
}

function add(groups: Map<string, Group>, flow: Observed, was: Judged, is: Judged): void {
  const direction = otherwise(was, is);
  const made: Group = {
    from: is.from.name,
    to: is.to.name,
    ...(flow.port !== undefined && { port: flow.port }),
    protocol: flow.protocol,
    direction,
    before: sideOf(was.verdict, was[direction]),
    after: sideOf(is.verdict, is[direction]),
    told: { INGRESS: 0, EGRESS: 0 },
    recorded: {},
    first: flow.first,
    last: flow.last,
  };
  const key = JSON.stringify([made.from, made.to, made.port, made.protocol, direction, made.before, made.after]);
  const group = groups.get(key) ?? made;
  groups.set(key, group);
  group.told[flow.direction] += flow.flows;
  group.recorded[flow.verdict] = (group.recorded[flow.verdict] ?? 0) + flow.flows;
  if (flow.first < group.first) group.first = flow.first;
  if (flow.last > group.last) group.last = flow.last;
}

/** The side that drops in one and not in the other; the receiver's where both do. */
function otherwise(was: Judged, is: Judged): 'ingress' | 'egress' {
  return was.ingress.verdict !== is.ingress.verdict ? 'ingress' : 'egress';
}

function sideOf(verdict: Judged['verdict'], { rules: [rule] }: SideVerdict): SimulatedGroup['before'] {
  return { verdict, ...(rule !== undefined && { rule }) };
}

function toGroup({ told, ...group }: Group): SimulatedGroup {
  return { ...group, connections: Math.max(told.INGRESS, told.EGRESS) };
}

/** What would break comes first. */
function byWeight(a: SimulatedGroup, b: SimulatedGroup): number {
  if (a.after.verdict !== b.after.verdict) return a.after.verdict === 'DROPPED' ? -1 : 1;
  return b.connections - a.connections;
}
