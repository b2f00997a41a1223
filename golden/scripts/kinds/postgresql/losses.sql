-- What the dump has in no entry of its schema, in the words of its other entries: loss, item,
-- and why it would not come back.
\pset fieldsep '\t'
SELECT 'tablespace', 'TABLESPACE ' || spcname, 'it is a folder on the server: what lies in it would come back in the default one'
FROM pg_catalog.pg_tablespace t WHERE EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.reltablespace = t.oid AND t.spcname <> 'pg_global');
-- Of an extension's own table, rows are copied, and not where its numbers stand.
SELECT pg_catalog.format('SELECT ''rows'', %L, %L WHERE EXISTS (SELECT FROM %I.%I %s)',
  pg_catalog.regexp_replace('SEQUENCE SET ' || sn.nspname || ' ' || s.relname || ' ' || pg_catalog.pg_get_userbyid(s.relowner), '[\x01-\x1f\x7f]', ' ', 'g'),
  'its extension does not let it be copied: it would begin anew, below rows that are copied', n.nspname, c.relname, condition)
FROM (SELECT pg_catalog.unnest(extconfig) AS oid, pg_catalog.unnest(extcondition) AS condition FROM pg_catalog.pg_extension) e
JOIN pg_catalog.pg_class c USING (oid) JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = c.oid AND d.classid = d.refclassid AND d.deptype IN ('a', 'i')
JOIN pg_catalog.pg_class s ON s.oid = d.objid JOIN pg_catalog.pg_namespace sn ON sn.oid = s.relnamespace
LEFT JOIN pg_catalog.pg_sequences q ON q.schemaname = sn.nspname AND q.sequencename = s.relname
WHERE s.relkind = 'S' AND NOT EXISTS (SELECT FROM pg_catalog.pg_extension WHERE s.oid = ANY (extconfig))
  AND (q.last_value IS NOT NULL OR NOT pg_catalog.has_sequence_privilege(s.oid, 'USAGE, SELECT'))
\gexec
SELECT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = :'actor') AS super \gset
\if :super
  \q
\endif
SELECT 'subscription', 'SUBSCRIPTION - ' || pg_catalog.regexp_replace(subname, '[\x01-\x1f\x7f]', ' ', 'g'), 'only a superuser may dump or make it'
FROM pg_catalog.pg_subscription WHERE subdbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database());
SELECT 'owner', 'BLOB - ' || m.oid || ' ' || pg_catalog.regexp_replace(pg_catalog.pg_get_userbyid(lomowner), '[\x01-\x1f\x7f]', ' ', 'g'),
  'its owner is a role for which ' || :'actor' || ' cannot act: it would come back as that of ' || :'actor'
FROM pg_catalog.pg_largeobject_metadata m WHERE NOT pg_catalog.pg_has_role(:'actor', lomowner,
  CASE WHEN pg_catalog.current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END);
SELECT 'grant', 'ACL - LARGE OBJECT ' || m.oid || ' ' || pg_catalog.regexp_replace(pg_catalog.pg_get_userbyid(lomowner), '[\x01-\x1f\x7f]', ' ', 'g'),
  'rights that others granted: they would come from the owner'
FROM pg_catalog.pg_largeobject_metadata m WHERE EXISTS (SELECT FROM pg_catalog.aclexplode(lomacl) WHERE grantor <> lomowner);
-- The database itself: who does not own it sets nothing of it.
SELECT pg_catalog.pg_has_role(:'actor', datdba, 'MEMBER') AS ours FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database() \gset
SELECT 'setting', 'SETTING ' || name || COALESCE(' of ' || pg_catalog.regexp_replace(role, '[\x01-\x1f\x7f]', ' ', 'g'), ''),
  :'actor' || ' may not set it for ' || CASE WHEN role IS NULL THEN 'the database' ELSE 'that role' END
FROM (
  SELECT pg_catalog.split_part(pg_catalog.unnest(setconfig), '=', 1) AS name, setrole,
    (SELECT rolname FROM pg_catalog.pg_roles r WHERE r.oid = setrole) AS role
  FROM pg_catalog.pg_db_role_setting WHERE setdatabase = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
) s LEFT JOIN pg_catalog.pg_settings p USING (name)
WHERE p.context IN ('superuser', 'superuser-backend')
  OR (setrole = 0 AND NOT :'ours')
  OR (setrole <> 0 AND role <> :'actor' AND NOT (SELECT rolcreaterole FROM pg_catalog.pg_roles WHERE rolname = :'actor'));
SELECT 'grant', 'ACL - DATABASE', 'rights on the database, which belongs to a role for which ' || :'actor' || ' cannot act'
FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database() AND datacl IS NOT NULL AND NOT :'ours';
-- Where the numbers of an extension's own sequences stand. One that was never used is
-- the same in any database.
SELECT 'rows', pg_catalog.regexp_replace('SEQUENCE SET ' || nspname || ' ' || relname || ' ' || pg_catalog.pg_get_userbyid(relowner), '[\x01-\x1f\x7f]', ' ', 'g'),
  'numbers of an extension, which ' || :'actor' || ' may not set'
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace
JOIN pg_catalog.pg_sequences q ON q.schemaname = nspname AND q.sequencename = relname
WHERE relkind = 'S' AND c.oid IN (SELECT pg_catalog.unnest(extconfig) FROM pg_catalog.pg_extension)
  AND NOT pg_catalog.has_sequence_privilege(:'actor', c.oid, 'UPDATE')
  AND (last_value IS NOT NULL OR NOT pg_catalog.has_sequence_privilege(c.oid, 'USAGE, SELECT'));
-- Rows that users added to an extension's own tables, as a dump finds them.
SELECT pg_catalog.format('SELECT ''rows'', %L, ''rows of an extension, which '' || %L || '' may not write'' WHERE EXISTS (SELECT FROM %I.%I %s)',
  pg_catalog.regexp_replace('TABLE DATA ' || nspname || ' ' || relname || ' ' || pg_catalog.pg_get_userbyid(relowner), '[\x01-\x1f\x7f]', ' ', 'g'),
  :'actor', nspname, relname, condition)
FROM (SELECT pg_catalog.unnest(extconfig) AS oid, pg_catalog.unnest(extcondition) AS condition FROM pg_catalog.pg_extension) e
JOIN pg_catalog.pg_class c USING (oid) JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace
WHERE relkind IN ('r', 'p') AND NOT pg_catalog.has_table_privilege(:'actor', c.oid, 'INSERT')
\gexec
