import type { FlowEnd } from '../api/flow.ts';
import type { FlowEvent } from '../datapath/postern.skel.ts';
import type { KnownProcess } from './process-table.ts';

/** Names of numbers, for the flows of one host. */
export interface FlowNames {
  readonly host: string;
  /** Canonical labels; of a number that is not known, none. */
  labels(identity: number): readonly string[];
  /** `namespace/name` of the workload behind an identity; the process decides where several have the same labels. */
  workload(identity: number, pid: number): string | undefined;
  process(pid: number): KnownProcess | undefined;
  /** Labels of the process and its host that nobody registered. */
  derived(pid: number): readonly string[];
  /** What decided, most telling first. */
  rules(rule: number): readonly string[];
  /** Revision of which the event's verdict is. */
  revision(
    event: Pick<FlowEvent, 'gen' | 'direction' | 'flags' | 'source_id' | 'destination_id'>,
    wallUs: number,
  ): number | undefined;
  /** Whether it was not decided yet at that time (µs since 1970) who this process is. */
  wasPending(pid: number, wallUs: number): boolean;
  /** Microseconds since 1970 of a stamp of the kernel (CLOCK_MONOTONIC). */
  wallUs(monotonicNs: number): number;
}

export interface EndFacts {
  readonly identity: number;
  readonly pid: number;
  readonly ip: string;
  readonly port: number;
  readonly isLocal: boolean;
}

export function toFlowEnd(names: FlowNames, { identity, pid, ip, port, isLocal }: EndFacts): FlowEnd {
  const workload = names.workload(identity, pid);
  const process = names.process(pid);
  return {
    ...(workload === undefined ? {} : { workload }),
    identity,
    labels: [...names.labels(identity)],
    ...(process === undefined ? {} : { derived: [...names.derived(pid)] }),
    ...(isLocal ? { host: names.host } : {}),
    ...(ip === '' ? {} : { ip }),
    ...(port === 0 ? {} : { port }),
    ...(process === undefined ? {} : { process: { ...process } }),
  };
}
