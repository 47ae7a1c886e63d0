-- CiliumCIDRGroup documents are kept beside the policies that name them.
alter table policies drop constraint policies_kind_check;
alter table policies add constraint policies_kind_check check (kind in ('cnp', 'ccnp', 'netpol', 'ccg'));
