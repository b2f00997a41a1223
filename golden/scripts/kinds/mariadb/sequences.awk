# Sequences that defaults name, and that are not there. ARGV: all items, the defaults.
# Needs names.awk.
function bare(s, i, h) {
  s = substr(s, 2, length(s) - 2); gsub(/``/, "`", s)
  h = ""; for (i = 1; i <= length(s); i++) h = h byte[substr(s, i, 1)]
  return h
}
BEGIN { for (i = 1; i < 256; i++) byte[sprintf("%c", i)] = sprintf("%02X", i) }
FILENAME == ARGV[1] { if ($1 == "sequence") there[$2, $3]; next }
{
  s = raw($1)
  while (match(s, /val\(`([^`]|``)*`[.]`([^`]|``)*`/)) {
    name = substr(s, RSTART + 4, RLENGTH - 4); s = substr(s, RSTART + RLENGTH)
    match(name, /^`([^`]|``)*`/)
    schema = bare(substr(name, 1, RLENGTH)); name = bare(substr(name, RLENGTH + 2))
    if (!((schema, name) in there)) print schema, name
  }
}
