-- Registrations from a file of one host (workloads.d). They are the agent's; what is here is the identity of each.
create table host_workloads (
  host text not null,
  namespace text not null,
  name text not null,
  -- Path of the file on that host.
  file text not null,
  spec json not null,
  identity integer not null references identities (id),
  uid uuid not null,
  created_revision bigint not null,
  revision bigint not null,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  updated_by text not null,
  primary key (host, namespace, name)
);
