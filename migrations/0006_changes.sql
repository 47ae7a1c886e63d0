-- The log that watches and agents resume from; older revisions are pruned (then a watch answers 410).
create table changes (
  revision bigint not null,
  seq integer not null,
  collection text not null,
  key text not null,
  type text not null check (type in ('ADDED', 'MODIFIED', 'DELETED')),
  object json not null,
  at timestamptz not null,
  primary key (revision, seq)
);
