create table policies (
  kind text not null check (kind in ('cnp', 'ccnp', 'netpol')),
  -- '' for kinds that have none.
  namespace text not null,
  name text not null,
  uid uuid not null,
  document json not null,
  -- The text as it came, comments included.
  text text not null,
  format text not null check (format in ('json', 'yaml')),
  created_revision bigint not null,
  revision bigint not null,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  updated_by text not null,
  primary key (kind, namespace, name)
);
