-- Who changed what, before and after. Never pruned by the server.
create table audit (
  revision bigint not null,
  seq integer not null,
  at timestamptz not null,
  actor text not null,
  collection text not null,
  key text not null,
  action text not null check (action in ('create', 'update', 'delete')),
  before json,
  after json,
  primary key (revision, seq)
);
create index audit_object on audit (collection, key, revision);
