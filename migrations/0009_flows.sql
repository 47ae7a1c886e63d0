-- Flows, one partition per day (made and dropped by the server: src/server/flow-partition.ts). Columns are what filters
-- use; body is the flow as the agent sent it.
create table flows (
  time timestamptz not null,
  -- Given by the server that took the flow: rises with arrival, orders flows of the same microsecond.
  id bigint not null,
  host text not null,
  event text not null,
  verdict text,
  source_workload text,
  destination_workload text,
  source_identity bigint,
  destination_identity bigint,
  -- Of the destination.
  port integer,
  body json not null
) partition by range (time);
create index flows_time on flows (time, id);
create index flows_source on flows (source_workload, time);
create index flows_destination on flows (destination_workload, time);
create index flows_denied on flows (time) where verdict <> 'FORWARDED';
