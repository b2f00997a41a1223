# Tables with a foreign key whose name the server does not quote, as items; why goes to the
# file "losses". ARGV: the definitions, the keys. Needs names.awk.
FILENAME == ARGV[1] { text[FNR] = $0; next }
!index(text[FNR], "CONSTRAINT " raw(quoted($4)) " ") && !(($1, $2) in seen) {
  seen[$1, $2]
  print "name", $3, "the server does not quote the name of its foreign key" >>losses
  print "table", $1, $2, $3
}
