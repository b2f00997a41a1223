-- What only a superuser may use or make.
SELECT 'wrapper ' || pg_catalog.quote_ident(fdwname) FROM pg_catalog.pg_foreign_data_wrapper
WHERE NOT pg_catalog.has_foreign_data_wrapper_privilege(:'actor', oid, 'USAGE');
SELECT 'language ' || pg_catalog.quote_ident(lanname) FROM pg_catalog.pg_language
WHERE NOT lanpltrusted AND NOT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = :'actor');
SELECT 'extension ' || e.extname FROM pg_catalog.pg_extension e
LEFT JOIN pg_catalog.pg_available_extensions a ON a.name = e.extname
LEFT JOIN pg_catalog.pg_available_extension_versions v ON v.name = a.name AND v.version = a.default_version
WHERE NOT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = :'actor')
  AND (COALESCE(v.superuser AND NOT v.trusted, true)
       OR NOT pg_catalog.has_database_privilege(:'actor', pg_catalog.current_database(), 'CREATE'));
-- Such an extension brings the schema along that it asks for. After an update of the
-- image its own version may be one that cannot be made any more.
SELECT DISTINCT 'schema ' || pg_catalog.regexp_replace(nspname, '[\x01-\x1f\x7f]', ' ', 'g') FROM pg_catalog.pg_extension e
JOIN pg_catalog.pg_namespace n ON n.oid = extnamespace
JOIN pg_catalog.pg_available_extension_versions v ON v.name = extname
WHERE v.schema = nspname AND nspowner = extowner AND v.superuser AND NOT v.trusted;
SELECT 'comment ' || e.extname FROM pg_catalog.pg_extension e
LEFT JOIN pg_catalog.pg_available_extensions a ON a.name = e.extname
WHERE pg_catalog.obj_description(e.oid, 'pg_extension') IS DISTINCT FROM a.comment;
