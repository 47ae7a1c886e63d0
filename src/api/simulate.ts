/** `POST /v1/policies:simulate` and `:suggest`: what recorded flows say about policy that is not there yet. */
import * as v from 'valibot';
import { ApplyResult } from './apply.ts';
import { object, oneOf } from './check.ts';
import { PolicyDocument } from './policy.ts';

/** The JSON form; the documents alone, as for apply, are taken too, with the rest as query parameters. */
export const SimulateBody = object({
  documents: v.optional(v.array(v.record(v.string(), v.unknown()))),
  /** Policies that would go: `cnp/shop/backend`. */
  delete: v.optional(v.array(v.string())),
  since: v.optional(v.string()),
  until: v.optional(v.string()),
});

const VERDICT = oneOf(['FORWARDED', 'DROPPED', 'AUDIT']);
const Side = object({ verdict: VERDICT, rule: v.optional(v.string()) });

/** Connections of one kind whose verdict would change. */
export const SimulatedGroup = object({
  from: v.string(),
  to: v.string(),
  port: v.optional(v.number()),
  protocol: v.string(),
  /** The side that decides otherwise. */
  direction: oneOf(['ingress', 'egress']),
  /** By the policy in force now, and by the proposed one. */
  before: Side,
  after: Side,
  /** Told by both hosts' sides at most once. */
  connections: v.number(),
  first: v.string(),
  last: v.string(),
  /** How they were judged when they happened. */
  recorded: v.record(v.string(), v.number()),
});
export type SimulatedGroup = v.InferOutput<typeof SimulatedGroup>;

export const Simulation = object({
  since: v.string(),
  until: v.string(),
  revision: v.number(),
  /** What the documents would do to what is stored. */
  results: v.array(ApplyResult),
  /** How many flows were replayed, and how many would change. */
  flows: v.number(),
  changed: v.number(),
  groups: v.array(SimulatedGroup),
  /** Flows whose ends are not known any more. */
  unjudged: v.array(object({ why: v.string(), flows: v.number() })),
  notes: v.array(v.string()),
});
export type Simulation = v.InferOutput<typeof Simulation>;

export const SuggestBody = object({
  /** Policy for this workload; absent = for all that were seen. */
  workload: v.optional(v.string()),
  namespace: v.optional(v.string()),
  since: v.optional(v.string()),
  until: v.optional(v.string()),
  direction: v.optional(oneOf(['ingress', 'egress', 'both'])),
  /** Also allow what was denied. */
  dropped: v.optional(v.boolean()),
});
export type SuggestBody = v.InferOutput<typeof SuggestBody>;

export const Suggestion = object({
  since: v.string(),
  until: v.string(),
  documents: v.array(PolicyDocument),
  /** The documents with comments: what each rule is for. */
  yaml: v.string(),
  /** How many flows the documents were made from. */
  flows: v.number(),
  left: v.array(object({ why: v.string(), flows: v.number() })),
  notes: v.array(v.string()),
});
export type Suggestion = v.InferOutput<typeof Suggestion>;
