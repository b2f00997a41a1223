# What the tool did not come to, and what it warned of. ARGV: the items that were there
# before, those that are there after, what it said. Needs names.awk.
FILENAME == ARGV[1] { before[$1, $2, $3]; next }
FILENAME == ARGV[2] && ($1 == "table" || $1 == "view" || $1 == "sequence") {
  said_of = $1 == "sequence" ? "-- Retrieving sequence structure for  " : "-- Retrieving table structure for table "
  n = split(said_of raw($3) "...", part, "\n")
  for (i = 2; i <= n; i++) known[part[i]]
  if (($1, $2, $3) in before) { expected[part[1]]++; text[part[1]] = text[part[1]] " " $4 }
  next
}
FILENAME == ARGV[2] { next }
{ said[$0]++ }
!/^-- / && !($0 in known) && $0 != "" { print "warning\tmariadb-dump\t" $0 }
END { for (line in expected) if (said[line] < expected[line]) print "left-out\t" text[line] "\tmariadb-dump did not come to it" }
