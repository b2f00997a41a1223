# Roles that the tool has left out. ARGV: the roles, what it wrote. Needs names.awk.
FILENAME == ARGV[1] { role[raw($1)] = $2; next }
/ ROLE IF NOT EXISTS / { for (text in role) if (index($0, text)) delete role[text] }
END { for (text in role) print "account\trole " role[text] "\tno account may give it, and the tool leaves it out" }
