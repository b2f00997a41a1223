-- Tables that have an ENUM, and the names of those columns, all in hexadecimal digits.
SET SESSION group_concat_max_len = 1073741824;
SELECT HEX(c.TABLE_SCHEMA), HEX(c.TABLE_NAME), CONCAT('table ', c.TABLE_SCHEMA, '.', c.TABLE_NAME),
  GROUP_CONCAT(HEX(c.COLUMN_NAME) ORDER BY ORDINAL_POSITION SEPARATOR ' ')
FROM information_schema.COLUMNS AS c
WHERE DATA_TYPE = 'enum' AND BINARY TABLE_SCHEMA NOT IN ('information_schema', 'performance_schema', 'mysql', 'sys')
GROUP BY BINARY c.TABLE_SCHEMA, BINARY c.TABLE_NAME;
