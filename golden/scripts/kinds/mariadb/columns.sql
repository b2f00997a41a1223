-- Tables that need a dump of their own, or have a history: where its beginning is kept, and
-- the list of columns to read, in hexadecimal digits. See dump.sh.
SET SESSION group_concat_max_len = 1073741824;
SELECT HEX(TABLE_SCHEMA), HEX(TABLE_NAME), CASE MAX(start) WHEN 1 THEN 'times' WHEN 2 THEN 'numbers' ELSE '-' END,
  IF(MAX(special), HEX(GROUP_CONCAT(
    CASE special WHEN 1 THEN CONCAT('CAST(', quoted, ' AS DOUBLE)') WHEN 2 THEN CONCAT('CAST(', quoted, ' AS BINARY)')
      WHEN 3 THEN CONCAT('LEAST(GREATEST(CAST(', quoted, ' AS DOUBLE), 1e-', NUMERIC_SCALE, ' - 1e', most, '), 1e', most, ' - 1e-', NUMERIC_SCALE, ')')
      WHEN 6 THEN CONCAT('CAST(', quoted, ' AS UNSIGNED)')
      WHEN 4 THEN CONCAT('IF(', quoted, ' = 0, REPEAT(0, 256), ', quoted, ')')
      WHEN 5 THEN CONCAT('IF(', quoted, ' = 0, REPEAT(0, 256), CAST(', quoted, ' AS BINARY))')
      ELSE quoted END
    ORDER BY ORDINAL_POSITION SEPARATOR ', ')), '')
FROM (
  SELECT TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION, CONCAT('`', REPLACE(COLUMN_NAME, '`', '``'), '`') AS quoted,
    IF(COALESCE(GENERATION_EXPRESSION, '') = 'ROW START', IF(DATA_TYPE = 'bigint', 2, 1), 0) AS start,
    NUMERIC_SCALE, NUMERIC_PRECISION - NUMERIC_SCALE AS most,
    CASE WHEN DATA_TYPE = 'float' AND NUMERIC_SCALE IS NOT NULL THEN 3
      WHEN DATA_TYPE = 'float' OR DATA_TYPE = 'double' AND NUMERIC_SCALE IS NOT NULL THEN 1
      WHEN DATA_TYPE = 'enum' AND COLUMN_TYPE LIKE CONCAT('%', CHAR(39, 39), '%')
        THEN IF(CHARACTER_SET_NAME IN ('utf8mb3', 'utf8', 'utf8mb4', 'latin1', 'ascii', 'binary'), 4, 5)
      WHEN DATA_TYPE = 'set' AND COLUMN_TYPE REGEXP CONCAT('[(,]', CHAR(39, 39), '[,)]') THEN 6
      WHEN CHARACTER_SET_NAME NOT IN ('utf8mb3', 'utf8', 'utf8mb4', 'latin1', 'ascii', 'binary') THEN 2 ELSE 0 END AS special
  FROM information_schema.COLUMNS WHERE BINARY TABLE_SCHEMA NOT IN ('information_schema', 'performance_schema', 'mysql', 'sys')) AS c
GROUP BY BINARY TABLE_SCHEMA, BINARY TABLE_NAME HAVING MAX(special) OR MAX(start);
