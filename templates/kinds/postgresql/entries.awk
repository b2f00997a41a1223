# The entries of a dump, and what of them could not come back: see examine of toc.sh. ARGV:
# the roles that we act for, what only a superuser may use or make, the list, the SQL.
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
}
