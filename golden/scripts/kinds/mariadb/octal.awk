# The name whose hexadecimal digits are in each line, for printf %b. Needs names.awk.
{ print octal($1) }
