# Sorts the ids of the entries into files, one for each phase of a restore. ARGV: the
# extensions and schemas that are there, the list of what comes after the data, the entries.
FILENAME == ARGV[1] { extension[$0] = 1; next }
FILENAME == ARGV[2] { namespace[$0] = 1; next }
FILENAME == ARGV[3] { split($0, part, ";"); post[part[1]] = 1; next }
$3 == "TABLE" || $3 == "FOREIGN TABLE" { made[$2] = 1 }
{ line[++lines] = $0 }
END {
  for (i = 1; i <= lines; i++) {
    split(line[i], f, "\t")
    id = f[1]; what = f[3]
    phase = (id in post) ? "post" : "pre"
    if (what == "EXTENSION" && (f[9] in extension)) continue
    if (what == "TABLE DATA" || what == "SEQUENCE SET" || what == "BLOBS") phase = "data"
    if (what == "TABLE DATA" && !(f[2] in made)) phase = "rows"
    if (what == "SCHEMA") phase = (f[9] in namespace) ? "there" : "schema"
    if (f[9] ~ /^ACL - SCHEMA /) phase = "schema"
    else if (what ~ /^ACL/) phase = "post"
    if (what == "INDEX" || what == "CONSTRAINT") phase = "index"
    if (what == "MATERIALIZED VIEW DATA") phase = "post"
    if (what == "EVENT TRIGGER" || f[9] ~ /^(COMMENT|SECURITY LABEL) - EVENT TRIGGER /) phase = "event"
    if (what == "DEFAULT ACL") phase = "default"
    # Rights that cannot be given are not tried.
    if (f[8] == "skip") continue
    # Alone: what runs with the rights of its owner, and what others granted.
    if (f[8] == "definer" || ((what == "FUNCTION" || what == "PROCEDURE") && f[4] == 0)) phase = "definer"
    if (f[8] == "grantor" && superuser == "f") phase = "grantor"
    print id >(to "." phase)
  }
}
