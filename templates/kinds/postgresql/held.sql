-- How many objects the user made. What an extension made does not count, nor what hangs on
-- that: its tables' indexes, sequences and types, and the schema that it is in.
WITH RECURSIVE own AS (
  SELECT oid, nspname FROM pg_catalog.pg_namespace
  WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
), extension AS (
  SELECT classid, objid FROM pg_catalog.pg_depend WHERE deptype = 'e'
  UNION
  SELECT d.classid, d.objid FROM pg_catalog.pg_depend d JOIN extension e ON d.refclassid = e.classid AND d.refobjid = e.objid
  WHERE d.deptype IN ('i', 'a', 'P', 'S')
)
SELECT
  (SELECT count(*) FROM pg_catalog.pg_class c JOIN own ON own.oid = c.relnamespace
   WHERE (c.tableoid, c.oid) NOT IN (SELECT classid, objid FROM extension))
+ (SELECT count(*) FROM pg_catalog.pg_proc p JOIN own ON own.oid = p.pronamespace
   WHERE (p.tableoid, p.oid) NOT IN (SELECT classid, objid FROM extension))
+ (SELECT count(*) FROM pg_catalog.pg_type t JOIN own ON own.oid = t.typnamespace
   WHERE t.typtype IN ('d', 'e', 'r') AND (t.tableoid, t.oid) NOT IN (SELECT classid, objid FROM extension))
+ (SELECT count(*) FROM own
   WHERE nspname <> 'public' AND oid NOT IN (SELECT extnamespace FROM pg_catalog.pg_extension) AND ('pg_catalog.pg_namespace'::pg_catalog.regclass, oid) NOT IN (SELECT classid, objid FROM extension))
+ (SELECT count(*) FROM pg_catalog.pg_largeobject_metadata);
