# Makes each item a savepoint of its own. ARGV: the numbers of items that are left out, the
# statements after the number of their item. ERROR is of the last statement, which fails if
# one before it did.
function end() { if (item != "") print "\\if :ERROR\nROLLBACK TO SAVEPOINT item;\n\\endif\nRELEASE SAVEPOINT item;" }
BEGIN { print "BEGIN;" }
FILENAME == ARGV[1] { left[$1]; next }
$1 in left { next }
$1 != item { end(); item = $1; print "\\warn holdfast: item " item "\nSAVEPOINT item;" }
{ sub(/^[0-9]+\t/, ""); print }
END { end(); print "COMMIT;" }
