-- The text of a policy as it came, for each of its revisions: what a rollback puts back. Null for revisions before this
-- migration (then the document stands for it), for deletions, and for other collections.
alter table audit add column text text, add column format text check (format in ('json', 'yaml'));
