/** Flows as they arrive. */
import type { FlowBatch } from './flow-batch.ts';

export class FlowStore {
  take({ flows, lost }: FlowBatch): { taken: number; lost: number } {
    return { taken: flows.length, lost };
  }
}
