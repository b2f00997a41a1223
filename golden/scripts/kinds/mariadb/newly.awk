# What is to be left out, and was not yet, each once. ARGV: the schemas, the items that are
# left out, what is to be.
FILENAME == ARGV[1] { ours[$1]; next }
FILENAME == ARGV[2] { ignored[$2, $3]; next }
$2 in ours && !(($2, $3) in ignored) && !(($2, $3) in seen) { seen[$2, $3]; print }
