# The accounts that the server does not know. ARGV: the lines on which it knew none, all
# accounts. Needs names.awk.
FILENAME == ARGV[1] { failing[$1]; next }
FNR in failing { print $2 "\t" raw($3) }
