-- The statement that makes each schema, in hexadecimal digits.
SELECT HEX(SCHEMA_NAME), HEX(CONCAT('--\n-- Current Database: ', q, '\n--\n\nCREATE DATABASE IF NOT EXISTS ', q, ' DEFAULT CHARACTER SET ',
  DEFAULT_CHARACTER_SET_NAME, ' COLLATE ', DEFAULT_COLLATION_NAME, IF(SCHEMA_COMMENT = '', '', CONCAT(' COMMENT ', QUOTE(SCHEMA_COMMENT))), ';\n'))
FROM (SELECT *, CONCAT('`', REPLACE(SCHEMA_NAME, '`', '``'), '`') AS q FROM information_schema.SCHEMATA) AS s;
