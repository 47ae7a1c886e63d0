-- The latest report of each host's agent.
create table hosts (
  name text primary key,
  report json not null,
  seen_at timestamptz not null
);
