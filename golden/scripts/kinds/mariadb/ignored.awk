# Each item as schema.name, for printf %b. Needs names.awk.
{ print octal($2 "2E" $3) }
