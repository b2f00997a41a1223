# Tables that need a dump of their own, without those that are left out. ARGV: these, all.
# Needs names.awk.
FILENAME == ARGV[1] { gone[octal($2) " " octal($3) " "]; next }
{
  line = $0
  split(line, part, " ")
  if (!((part[1] " " part[2] " ") in gone)) print
}
