/** An agent's batch of flows: NDJSON, a header line first. A flow that is not one refuses the batch: that is a bug there. */
import * as v from 'valibot';
import { check } from '../api/check.ts';
import { Flow, FlowBatchHeader } from '../api/flow.ts';
import { ProblemError, unwrap } from './problem-error.ts';

export interface FlowBatch {
  readonly host: string;
  /** Events that the agent had to drop. */
  readonly lost: number;
  readonly flows: readonly Flow[];
}

const Flows = v.array(Flow);

export function readFlowBatch(body: Buffer): FlowBatch {
  const [header, ...lines] = body
    .toString('utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map(parseLine);
  const { host, lost = 0 } = unwrap(check(FlowBatchHeader, header), 'the header line {"host":…,"lost":…}');
  return { host, lost, flows: unwrap(check(Flows, lines), `flows of ${host}`) };
}

function parseLine(line: string, index: number): unknown {
  try {
    return JSON.parse(line);
  } catch (error) {
    throw new ProblemError('syntax', `Line ${index + 1} is not JSON: ${error instanceof Error ? error.message : ''}`);
  }
}
