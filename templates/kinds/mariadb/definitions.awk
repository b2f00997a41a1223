# A statement for each table that tells its definition. Needs names.awk.
{ print "EXECUTE IMMEDIATE CONVERT(X'" hexed("SHOW CREATE TABLE ") quoted($1) "2E" quoted($2) "' USING utf8mb4);" }
