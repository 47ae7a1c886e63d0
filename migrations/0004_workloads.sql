create table workloads (
  namespace text not null,
  name text not null,
  uid uuid not null,
  -- labels, match, ports, description. json, not jsonb: comes back in the order in which it was written.
  spec json not null,
  identity integer not null references identities (id),
  -- Order of registration decides a tie between two workloads that match the same process.
  created_revision bigint not null,
  revision bigint not null,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  updated_by text not null,
  primary key (namespace, name)
);
