-- What a host's agent found of its workloads' rights: beside the report, which comes often and does not repeat it.
alter table hosts add column findings json;
