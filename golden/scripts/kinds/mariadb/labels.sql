-- Columns whose labels or default may become others: see dump.sh.
SELECT HEX(TABLE_SCHEMA), HEX(TABLE_NAME), CONCAT('column ', TABLE_SCHEMA, '.', TABLE_NAME, '.', COLUMN_NAME), HEX(COLUMN_NAME)
FROM information_schema.COLUMNS
WHERE CHARACTER_SET_NAME NOT IN ('utf8mb3', 'utf8', 'utf8mb4', 'latin1', 'ascii', 'binary')
  AND (DATA_TYPE IN ('enum', 'set') OR COLUMN_DEFAULT IS NOT NULL)
  AND (CONCAT(IF(DATA_TYPE IN ('enum', 'set'), COLUMN_TYPE, ''), COALESCE(COLUMN_DEFAULT, '')) LIKE '%?%' OR
    CHARACTER_SET_NAME IN ('cp932', 'eucjpms', 'sjis', 'ujis', 'big5') AND CONCAT(COLUMN_TYPE, COALESCE(COLUMN_DEFAULT, '')) REGEXP '[^ -~]')
  OR DATA_TYPE = 'set' AND COLUMN_TYPE REGEXP CONCAT('[(,]', CHAR(39, 39), '[,)]') AND
    (COLUMN_TYPE REGEXP CONCAT(CHAR(39), '[0-9]+', CHAR(39)) OR CHARACTER_SET_NAME IN ('ucs2', 'utf16', 'utf16le', 'utf32'));
