/** What the routes work with. */
import type { Asks } from './asks.ts';
import type { FlowStore } from './flow-store.ts';
import type { Reports } from './reports.ts';
import type { RuleHits } from './rule-hits.ts';
import type { Store } from './store.ts';
import type { Streams } from './stream.ts';

export interface ServerContext {
  readonly store: Store;
  readonly reports: Reports;
  readonly flows: FlowStore;
  readonly hits: RuleHits;
  readonly streams: Streams;
  /** Questions to the agents that are connected here. */
  readonly asks: Asks;
  /** Refuse a PUT or DELETE without If-Match of what is there (428). */
  readonly requireIfMatch: boolean;
}
