-- The last part of a rebuild of search goes through the vocabulary a few words at a time, and begins again where it was.
-- A row that has these columns is finished to the version before: its last part would use up all counts a second time.
alter table search_rebuild add column words_of timestamptz, add column words_after text collate "C";
comment on column search_rebuild.words_of is 'started_at of the rebuild whose counts are being put to use; it is under way until then';
comment on column search_rebuild.words_after is 'the vocabulary up to this word says what was counted';
