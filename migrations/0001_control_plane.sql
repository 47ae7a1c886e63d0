-- The control plane's own facts. settings: uid (made once; a new uid means another control plane) and what an operator set.
-- revision: one row, locked by each writing transaction until it commits, so that commit order is revision order.
create table settings (
  key text primary key,
  value jsonb not null
);
insert into settings (key, value) values ('uid', to_jsonb(gen_random_uuid()::text));

create table revision (
  one boolean primary key default true check (one),
  n bigint not null
);
insert into revision (n) values (0);
