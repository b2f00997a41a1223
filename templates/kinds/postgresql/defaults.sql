-- Takes the default privileges away that the target keeps, and gives those that it would
-- have by itself.
SELECT pg_catalog.format('ALTER DEFAULT PRIVILEGES FOR ROLE %I %s REVOKE ALL ON %s FROM %s', rolname,
  CASE WHEN nspname IS NOT NULL THEN pg_catalog.format('IN SCHEMA %I', nspname) END, kind,
  CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(grantee)) END)
FROM pg_catalog.pg_default_acl d JOIN pg_catalog.pg_roles r ON r.oid = defaclrole LEFT JOIN pg_catalog.pg_namespace n ON n.oid = defaclnamespace
CROSS JOIN LATERAL (SELECT DISTINCT grantee FROM pg_catalog.aclexplode(defaclacl)) a
JOIN (VALUES ('r', 'TABLES'), ('S', 'SEQUENCES'), ('f', 'FUNCTIONS'), ('T', 'TYPES'), ('n', 'SCHEMAS')) k (code, kind) ON code = defaclobjtype::text
WHERE pg_catalog.pg_has_role(r.oid, 'MEMBER')
UNION ALL
SELECT pg_catalog.format('ALTER DEFAULT PRIVILEGES FOR ROLE %I GRANT %s ON %s TO %s', rolname, what, kind, CASE WHEN whom = 'PUBLIC' THEN whom ELSE pg_catalog.quote_ident(rolname) END)
FROM pg_catalog.pg_default_acl d JOIN pg_catalog.pg_roles r ON r.oid = defaclrole
JOIN (VALUES ('r', 'ALL', 'TABLES', ''), ('S', 'ALL', 'SEQUENCES', ''), ('f', 'EXECUTE', 'FUNCTIONS', ''), ('f', 'EXECUTE', 'FUNCTIONS', 'PUBLIC'),
  ('T', 'USAGE', 'TYPES', ''), ('T', 'USAGE', 'TYPES', 'PUBLIC'), ('n', 'ALL', 'SCHEMAS', '')) k (code, what, kind, whom) ON code = defaclobjtype::text
WHERE defaclnamespace = 0 AND pg_catalog.pg_has_role(r.oid, 'MEMBER')
\gexec
