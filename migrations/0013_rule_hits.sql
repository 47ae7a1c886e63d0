-- How often a rule decided, ever: outlives the flows that it was counted from. A rule that is changed has another hash and
-- begins anew; rows of rules that are gone are removed after 30 days.
create table rule_hits (
  -- As flows name it: cnp/shop/backend ingress[0], default deny of cnp/shop/backend.
  rule text not null,
  hash text not null,
  hits bigint not null,
  last_hit timestamptz not null,
  primary key (rule, hash)
);
