/** `/v1/discover`: running services that no workload claims, each with a registration that would. */
import * as v from 'valibot';
import { object, oneOf } from './check.ts';
import { Listening } from './endpoint.ts';

export const Discovered = object({
  host: v.string(),
  process: object({
    pid: v.number(),
    exe: v.string(),
    user: v.optional(v.string()),
    args: v.optional(v.array(v.string())),
    startedAt: v.optional(v.string()),
  }),
  /** `talker`: it begins conversations and listens nowhere; absent = it listens. */
  kind: v.optional(oneOf(['listener', 'talker'])),
  /** Of a talker: when it last began one. */
  lastSeen: v.optional(v.string()),
  unit: v.optional(v.string()),
  cgroup: v.optional(v.string()),
  listening: v.array(Listening),
  talksTo: v.optional(v.array(v.string())),
  suggested: object({
    namespace: v.string(),
    name: v.string(),
    labels: v.record(v.string(), v.string()),
    match: v.unknown(),
  }),
  /** 0..1: how sure it is that the suggestion names this service and nothing else. */
  confidence: v.number(),
  grade: v.optional(oneOf(['firstPacket', 'late'])),
  /** What an operator should know before he takes the suggestion. */
  note: v.optional(v.string()),
  /** A command that registers it. */
  curl: v.optional(v.string()),
});
export type Discovered = v.InferOutput<typeof Discovered>;
