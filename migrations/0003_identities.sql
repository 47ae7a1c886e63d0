-- One number for each distinct set of labels. A row stays for 30 days after its last workload has gone, and so long its
-- number names nothing else.
create table identities (
  id integer primary key check (id between 65792 and 16777215),
  -- Canonical JSON array of source:key=value, sorted.
  labels text not null unique,
  unused_since timestamptz
);
