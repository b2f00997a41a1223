#!/bin/sh
# toc.sh is sourced, after connect.sh, by dump.sh and restore.sh: what stands in a
# dump of a database, and which of it the login could not bring back as it was.
# Both ask the same, so that a night names what the restore would miss.
#
# An item is called as "pg_restore --list" calls it, without its numbers: what it
# is, its schema, its name, its owner, as in "TABLE public t shop".

# query [ARG…]: SQL on stdin, plain values on stdout.
query() {
  attempt 69 psql psql -X --no-password --quiet --tuples-only --no-align --set=ON_ERROR_STOP=1 "$@"
}

# actor: sets SUPERUSER (t or f) and ACTOR, the role that a restore acts as: the
# login, or HOLDFAST_OWNER where the login is a member of it. A superuser acts for
# everybody, so that everything comes back as it was. Dies with code $1 where the
# owner is of no use.
actor() {
  ACTOR=$PGUSER
  export ACTOR
  query --set=owner="${HOLDFAST_OWNER:-}" >"$WORK/actor" <<'SQL'
SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = CURRENT_USER;
SELECT COALESCE(
  (SELECT CASE WHEN pg_catalog.pg_has_role(oid, 'MEMBER') THEN 'member' ELSE 'stranger' END
   FROM pg_catalog.pg_roles WHERE rolname = :'owner'),
  'absent');
SQL
  { read -r SUPERUSER && read -r actor_member; } <"$WORK/actor" || die 69 'the server told nothing about the login'
  if [ "$SUPERUSER" = f ] && [ -n "${HOLDFAST_OWNER:-}" ] && [ "$HOLDFAST_OWNER" != "$PGUSER" ]; then
    case $actor_member in
      member) ACTOR=$HOLDFAST_OWNER ;;
      absent) die 69 "the role $HOLDFAST_OWNER does not exist: restore the server's globals first" ;;
      *) die "$1" "$PGUSER is no member of $HOLDFAST_OWNER, so it cannot restore for it: connect as the owner" ;;
    esac
  fi
}

# examine LIST TEXT: what could not come back as it was, from the dump's list and
# its SQL ("pg_restore --verbose", which names each entry before it). Sets the file
# $WORK/entries, a line for each entry of the list, between tabs:
#
#   id, oid, what it is, 1 if we act for its owner or else 0, the name of its loss
#   or "-", why or "-", the ids that it depends on or "-", how it must be brought
#   back or "-", the item without its owner, the item
#
# How: "definer" for a function that runs with the rights of its owner, "grantor"
# for rights that others granted, "skip" for rights that are not tried. Rights also
# stand in $WORK/rights: the item without its owner, a tab, a statement. So do
# comments of extensions and schemas, for who did not make one may not set it anew.
#
# Names are somebody else's: a body may hold what looks like such a header. One
# counts only if it fits the list, and if two fit for one entry nobody can tell
# them apart.
examine() {
  query --set=actor="$ACTOR" >"$WORK/acts" <<'SQL'
SELECT pg_catalog.regexp_replace(rolname, '[\x01-\x1f\x7f]', ' ', 'g') FROM pg_catalog.pg_roles
WHERE pg_catalog.pg_has_role(:'actor', oid,
  CASE WHEN pg_catalog.current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END);
SQL
  # What only a superuser may use or make.
  query --set=actor="$ACTOR" >"$WORK/limits" <<'SQL'
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
SQL
  : >"$WORK/rights"
  # shellcheck disable=SC2016 # awk's own fields
  attempt 65 'reading the list of the dump' awk -v superuser="$SUPERUSER" -v rights="$WORK/rights" '
    function clean(s) { gsub(/[\001-\037\177]/, " ", s); return s }
    # kind: what an item is. A schema may be called DATA or SET; the class tells.
    function kind(item, class,   i) {
      for (i = 1; i <= kinds; i++)
        if (index(item, name[i] " ") == 1 && !(class != 0 && (name[i] == "TABLE DATA" || name[i] == "SEQUENCE SET"))) return name[i]
      return "OTHER"
    }
    function lose(id, loss, because) {
      if (lost[id] == "") { lost[id] = loss; why[id] = because }
    }
    BEGIN {
      actor = ENVIRON["ACTOR"]
      kinds = split("PUBLICATION TABLES IN SCHEMA|TEXT SEARCH CONFIGURATION|MATERIALIZED VIEW DATA|TEXT SEARCH DICTIONARY|FOREIGN DATA WRAPPER|TEXT SEARCH TEMPLATE|DATABASE PROPERTIES|PROCEDURAL LANGUAGE|TEXT SEARCH PARSER|PUBLICATION TABLE|SUBSCRIPTION TABLE|SEQUENCE OWNED BY|MATERIALIZED VIEW|CHECK CONSTRAINT|OPERATOR FAMILY|OPERATOR CLASS|STATISTICS DATA|SECURITY LABEL|ACCESS METHOD|BLOB COMMENTS|EVENT TRIGGER|FOREIGN TABLE|FK CONSTRAINT|INDEX ATTACH|ROW SECURITY|SEQUENCE SET|SUBSCRIPTION|TABLE ATTACH|USER MAPPING|ACL LANGUAGE|DEFAULT ACL|PUBLICATION|CONSTRAINT|CONVERSION|SHELL TYPE|STATISTICS|TABLE DATA|AGGREGATE|COLLATION|EXTENSION|PROCEDURE|TRANSFORM|DATABASE|FUNCTION|OPERATOR|SEQUENCE|COMMENT|DEFAULT|TRIGGER|DOMAIN|POLICY|SCHEMA|SERVER|BLOBS|INDEX|TABLE|BLOB|CAST|RULE|TYPE|VIEW|ACL", name, "|")
      n = split("AGGREGATE|BLOB|COLLATION|CONVERSION|DOMAIN|EVENT TRIGGER|FOREIGN DATA WRAPPER|FOREIGN TABLE|FUNCTION|MATERIALIZED VIEW|OPERATOR|OPERATOR CLASS|OPERATOR FAMILY|PROCEDURAL LANGUAGE|PROCEDURE|PUBLICATION|SCHEMA|SEQUENCE|SERVER|SHELL TYPE|STATISTICS|SUBSCRIPTION|TABLE|TEXT SEARCH CONFIGURATION|TEXT SEARCH DICTIONARY|TYPE|VIEW", part, "|")
      for (i = 1; i <= n; i++) owned[part[i]] = 1
      n = split("ACCESS METHOD|EVENT TRIGGER|FOREIGN DATA WRAPPER|OPERATOR CLASS|OPERATOR FAMILY|PROCEDURAL LANGUAGE|PUBLICATION TABLES IN SCHEMA|SHELL TYPE|SUBSCRIPTION|TEXT SEARCH PARSER|TEXT SEARCH TEMPLATE", part, "|")
      for (i = 1; i <= n; i++) reserved[part[i]] = 1
    }
    FILENAME == ARGV[1] { acts[$0] = 1; next }
    FILENAME == ARGV[2] { limit[$0] = 1; next }
    FILENAME == ARGV[3] {
      if ($0 !~ /^[0-9]+; [0-9]+ [0-9]+ [A-Z]/) next
      id = $1; sub(/;/, "", id)
      order[++entries] = id; numbers[id] = $2 " " $3; oid[id] = $3
      line = $0; sub(/^[0-9]+; [0-9]+ [0-9]+ /, "", line); line = clean(line); sub(/ +$/, "", line)
      # So it is called from PostgreSQL 17 on.
      sub(/^BLOB METADATA - /, "BLOB - ", line)
      item[id] = line; what[id] = kind(line, $2)
      next
    }
    /^-- TOC entry [0-9]+ \(class [0-9]+ OID [0-9]+\)$/ && before == "--" {
      class = $6; number = $8; sub(/\)/, "", number)
      if (($4 in item) && numbers[$4] == class " " number) {
        id = $4
        if (seen[id]++) { print "two parts of its SQL call themselves entry " id >"/dev/stderr"; failed = 1; exit 1 }
        head = 1; before = $0; next
      }
    }
    head && /^-- Dependencies: / { needs[id] = substr($0, 18); before = $0; next }
    head && /^-- Name: / { owner[id] = $0; sub(/^.*; Owner: /, "", owner[id]); owner[id] = clean(owner[id])
      # A tablespace follows where there is one.
      if (substr(item[id], length(item[id]) - length(owner[id])) != " " owner[id]) sub(/; Tablespace: .*$/, "", owner[id])
      before = $0; next
    }
    head && /^--$/ { head = 0; before = $0; next }
    # The clause is looked for in the whole body: one word too many is no harm.
    id != "" && (what[id] == "FUNCTION" || what[id] == "PROCEDURE") {
      if (/SECURITY DEFINER/) how[id] = "definer"
      if (/^    (TRANSFORM .* )?LANGUAGE /) {
        if (/ (LEAKPROOF|SUPPORT)/) lose(id, "superuser", "only a superuser may make such a function")
        language = $0; sub(/^.*LANGUAGE /, "", language)
        for (l in limit) if (index(l, "language ") == 1 && index(language " ", substr(l, 10) " ") == 1) lose(id, "superuser", "only a superuser may use its language")
      }
    }
    id != "" && what[id] == "ACL" && /^SET SESSION AUTHORIZATION / { how[id] = "grantor" }
    id != "" && what[id] ~ /^(ACL|DEFAULT ACL)/ && /^(GRANT|REVOKE|ALTER DEFAULT PRIVILEGES|SET SESSION AUTHORIZATION) / { right[id] = right[id] clean($0) "\n" }
    id != "" && item[id] ~ /^COMMENT - (EXTENSION|SCHEMA) / && /^COMMENT ON (EXTENSION|SCHEMA) / { right[id] = right[id] clean($0) "\n" }
    id != "" && what[id] == "SERVER" && /FOREIGN DATA WRAPPER / {
      wrapper = $0; sub(/^.*FOREIGN DATA WRAPPER /, "", wrapper); sub(/( OPTIONS \(.*|;)$/, "", wrapper)
      if (("wrapper " wrapper) in limit) lose(id, "superuser", "it needs a right on the wrapper " wrapper)
    }
    id != "" && what[id] == "PUBLICATION" && /^CREATE PUBLICATION .* FOR ALL TABLES / { lose(id, "superuser", "only a superuser may publish all tables") }
    id != "" && what[id] == "TYPE" && /^    INTERNALLENGTH = / { lose(id, "superuser", "only a superuser may make a base type") }
    id != "" && what[id] == "TYPE" && /^CREATE TYPE [^(]*;$/ { lose(id, "superuser", "only a superuser may make a type without a definition") }
    id != "" && what[id] == "AGGREGATE" && /^    STYPE = internal,?$/ { lose(id, "superuser", "only a superuser may make an aggregate with such a state") }
    id != "" && what[id] == "CAST" && / WITHOUT FUNCTION/ { lose(id, "superuser", "only a superuser may make such a cast") }
    { before = $0 }
    END {
      if (failed) exit 1
      for (i = 1; i <= entries; i++) {
        id = order[i]; o = owner[id]
        # An owner that the list does not end with is nobody that we act for.
        if (!seen[id] && what[id] !~ /^(TABLE DATA|BLOBS|STATISTICS DATA)$/) o = "?"
        if (!seen[id]) for (a in acts) if (substr(item[id], length(item[id]) - length(a)) == " " a) o = a
        ours = superuser == "t" || o == "" || o == "-" || ((o in acts) && substr(item[id], length(item[id]) - length(o)) == " " o)
        bare = item[id]
        if (o != "" && substr(bare, length(bare) - length(o)) == " " o) bare = substr(bare, 1, length(bare) - length(o) - 1)
        acting[id] = ours + 0; plain[id] = bare
        if (superuser == "t") { lost[id] = ""; continue }
        n = split(needs[id], dependency, " ")
        if (what[id] in reserved) lose(id, "superuser", "only a superuser may make it")
        if (what[id] == "EXTENSION") {
          e = item[id]; sub(/^EXTENSION - /, "", e)
          if (("extension " e) in limit) lose(id, "extension", "only a superuser may make it: it must be there before the restore")
        }
        if (item[id] ~ /^COMMENT - EXTENSION /) {
          e = item[id]; sub(/^COMMENT - EXTENSION /, "", e)
          if ((("extension " e) in limit) && (("comment " e) in limit)) lose(id, "extension", "the comment of an extension that only a superuser may make")
        }
        s = plain[id]; sub(/^SCHEMA - /, "", s)
        if (!ours && !(what[id] == "SCHEMA" && (("schema " s) in limit))) {
          if (what[id] in owned) {
            if (how[id] == "definer") lose(id, "definer", "it runs with the rights of its owner, a role for which " actor " cannot act: it would come back with those of its caller")
            else lose(id, "owner", "its owner is a role for which " actor " cannot act: it would come back as that of " actor)
          }
          if (what[id] == "DEFAULT ACL") lose(id, "grant", "default privileges of a role for which " actor " cannot act")
          if (what[id] ~ /^ACL/) {
            there = 0; view = 0
            for (j = 1; j <= n; j++) if (what[dependency[j]] in owned) {
              there = 1
              if (what[dependency[j]] ~ /VIEW/) view = 1
            }
            if (item[id] ~ /^ACL - LARGE OBJECT /) there = 1
            if (!there || view) how[id] = "skip"
            if (!there) lose(id, "grant", "rights on what belongs to a role for which " actor " cannot act")
            else if (view) lose(id, "grant", "rights on a view whose owner would change: it would show more than it did")
          }
        }
        if (how[id] == "grantor") lose(id, "grant", "rights that others granted: they would come from the owner")
        # What hangs on something that cannot be made cannot be made either.
        for (j = 1; j <= n; j++) if (lost[dependency[j]] == "superuser") lose(id, "superuser", "it needs " item[dependency[j]])
        if (lost[id] == "superuser" && what[id] == "TABLE") gone[oid[id]] = id
        if (what[id] == "TABLE DATA" && (oid[id] in gone)) lose(id, "superuser", "it needs " item[gone[oid[id]]])
      }
      for (i = 1; i <= entries; i++) {
        id = order[i]
        n = split(right[id], statement, "\n")
        for (j = 1; j < n; j++) print plain[id] "\t" statement[j] >rights
        printf "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", id, oid[id], what[id], acting[id],
          lost[id] == "" ? "-" : lost[id], lost[id] == "" ? "-" : why[id], needs[id] == "" ? "-" : needs[id], how[id] == "" ? "-" : how[id], plain[id], item[id]
      }
    }' "$WORK/acts" "$WORK/limits" "$1" "$2" >"$WORK/entries"
}

# statements FILE, on stdout: each statement of a script of pg_dumpall as one line,
# its own line breaks as \001. Comments and what is psql's own are left out. A
# comment of a role may hold lines that look like statements; only quotes tell.
# pg_dumpall doubles quotes and escapes none.
statements() {
  # shellcheck disable=SC2016 # awk's own fields
  attempt 65 'reading the dump' awk '
    BEGIN { single = sprintf("%c", 39) }
    !open && (/^--/ || /^\\/ || /^$/) { next }
    {
      held = open ? held "\001" $0 : $0
      open = 1
      rest = $0
      while (rest != "") {
        if (quote != "") {
          at = index(rest, quote)
          if (!at) break
          quote = ""
        } else {
          at = index(rest, single); other = index(rest, "\"")
          if (!at || (other && other < at)) at = other
          if (!at) break
          quote = substr(rest, at, 1)
        }
        rest = substr(rest, at + 1)
      }
      if (quote == "" && /;$/) { print held; open = 0 }
    }
    END { if (open) { print "a statement has no end" >"/dev/stderr"; exit 1 } }' "$1"
}
