# Where the schema is, of a root entry. Needs ldif.awk.
tolower($1) ~ /^subschemasubentry:/ { print plain($0); exit }
