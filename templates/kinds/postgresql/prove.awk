# What the target lacks of the copy, or has otherwise. ARGV: why entries failed, those that
# are pending, the entries and rights of the target, the rights and entries of the copy.
# object: what rights are about, its schema and name, without what it is.
function object(plain) {
  sub(/^ACL /, "", plain)
  sub(/ (FOREIGN DATA WRAPPER|FOREIGN SERVER|LARGE OBJECT|[A-Z]+) /, " ", plain)
  return plain
}
FILENAME == ARGV[1] { why[$1] = $2; next }
FILENAME == ARGV[2] { pending[$1] = 1; next }
FILENAME == ARGV[3] { there[$10] = 1; bare[$9] = 1; next }
FILENAME == ARGV[4] { grants[$1 "\t" $2] = 1; granted[$1] = granted[$1] "\n" $2; next }
FILENAME == ARGV[5] { wanted[$1 "\t" $2] = 1; rights[$1] = rights[$1] "\n" $2; next }
{
  reason = ""
  mine[$9] = 1
  known[substr($9, length($3) + 2)] = 1
  gone = ($1 in pending) || (!($9 in bare) && $3 !~ /^(ACL|DEFAULT ACL)/)
  # An extension or schema that is there has its comment, whoever made it.
  if ($9 ~ /^COMMENT - (EXTENSION|SCHEMA) / && rights[$9] ~ /\047;$/ && rights[$9] == granted[$9]) reason = ""
  else if ($1 in pending) reason = why[$1] == "" ? "it could not be made" : why[$1]
  # Large objects stand in no dump without data.
  else if ($3 == "BLOB" && $5 == "owner") { reason = $6; gone = 0 }
  else if ($9 ~ /^ACL - LARGE OBJECT/ && $5 == "grant") reason = $6
  else if ($3 ~ /^(TABLE DATA|SEQUENCE SET|BLOBS|BLOB|BLOB COMMENTS|MATERIALIZED VIEW DATA|STATISTICS DATA|ENCODING|STDSTRINGS|SEARCHPATH)$/) reason = ""
  else if ($9 ~ /^(ACL|COMMENT|SECURITY LABEL) - LARGE OBJECT/) reason = ""
  else if ($4 == 1 && !($10 in there)) reason = why[$1] != "" ? why[$1] : ($9 in bare) ? "it has another owner" : "the target does not have it"
  # What the new owner was granted says nothing any more, and stands nowhere.
  else if ($4 == 0 && $3 ~ /^ACL/ && $8 == "-") reason = why[$1]
  else if ($4 == 0 && !($9 in bare)) reason = why[$1] != "" ? why[$1] : $6 != "-" ? $6 : "the target does not have it"
  else if ($5 == "owner" || $5 == "definer") reason = $6
  else if ($3 ~ /^(ACL|DEFAULT ACL)/ && $4 == 1) {
    n = split(rights[$9], part, "\n")
    for (i = 2; i <= n; i++) if (!(($9 "\t" part[i]) in grants)) reason = "it lacks " part[i]
    n = split(granted[$9], part, "\n")
    for (i = 2; i <= n; i++) if (!(($9 "\t" part[i]) in wanted)) reason = "it has more, " part[i]
  }
  if (reason != "") print $10 "\t" reason (gone ? "\tgone" : "")
}
END {
  # Rights that the copy does not have, on what it has.
  for (p in granted) if (!(p in mine) && p ~ /^ACL / && (object(p) in known)) print p "\tthe target grants what the copy does not"
}
