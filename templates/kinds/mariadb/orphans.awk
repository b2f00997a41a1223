# Schema and name of what rights are for, and what is not copied: what does not exist,
# which goes to the file "losses", and what is left out. ARGV: all items, the rights, the
# items that are left out. Needs names.awk.
FILENAME == ARGV[1] { there[$2, $3]; next }
FILENAME == ARGV[3] {
  if ($1 != "trigger") print raw($2) "\t" raw($3)
  next
}
!(($1, $2) in there) && raw($1) != "mysql" && raw($1) != "sys" && raw($1) != "information_schema" && raw($1) != "performance_schema" {
  print "right\t" $3 "\twhat it is for does not exist" >>losses
  print raw($1) "\t" raw($2)
}
