-- Everything that schemas hold, an item a line: what it is, its schema and its name
-- in hexadecimal digits, and "what schema.name" for people. Names may hold anything,
-- line breaks too; the option --batch of the client escapes those.
SELECT i.what, HEX(i.place), HEX(i.name), CONCAT(i.what, ' ', i.place, IF(i.what = 'schema', '', '.'), i.name) FROM (
  SELECT 'schema' AS what, SCHEMA_NAME AS place, '' AS name FROM information_schema.SCHEMATA
  UNION ALL SELECT CASE TABLE_TYPE WHEN 'VIEW' THEN 'view' WHEN 'SEQUENCE' THEN 'sequence' ELSE 'table' END, TABLE_SCHEMA, TABLE_NAME
    FROM information_schema.TABLES WHERE TABLE_TYPE <> 'TEMPORARY'
  UNION ALL SELECT LOWER(ROUTINE_TYPE), ROUTINE_SCHEMA, ROUTINE_NAME FROM information_schema.ROUTINES
  UNION ALL SELECT 'trigger', TRIGGER_SCHEMA, TRIGGER_NAME FROM information_schema.TRIGGERS
  UNION ALL SELECT 'event', EVENT_SCHEMA, EVENT_NAME FROM information_schema.EVENTS
) AS i WHERE BINARY i.place NOT IN ('information_schema', 'performance_schema', 'mysql', 'sys');
