# A statement for each item that tries to read it, as far as "limit" rows. Needs names.awk.
{ print "EXECUTE IMMEDIATE CONVERT(X'" hexed("SELECT 1 FROM ") quoted($2) "2E" quoted($3) hexed(" LIMIT " limit) "' USING utf8mb4);" }
