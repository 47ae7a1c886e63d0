create table namespaces (
  name text primary key,
  uid uuid not null,
  -- As the user gave them: without kubernetes.io/metadata.name.
  labels json not null,
  created_revision bigint not null,
  revision bigint not null,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  updated_by text not null
);
