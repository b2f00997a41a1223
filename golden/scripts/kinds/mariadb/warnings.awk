# Each warning of the client once, as "error, column". Of a table with error values the
# copy says so. Needs names.awk.
/^error values:/ {
  split("", known)
  n = split(substr($0, 15), list, ",")
  for (i = 1; i <= n; i++) known["'" raw(list[i]) "'"]
  next
}
!/^(Warning|Error) [(]Code [0-9]+[)]: / { next }
{
  error = $0; sub(/^[^0-9]*/, "", error); sub(/[^0-9].*$/, "", error)
  column = ""
  # A name may have lines of its own.
  while (error == 1265 && $0 !~ / at row [0-9]+$/ && (getline more) > 0) $0 = $0 "\n" more
  if (match($0, /column .* at row [0-9]+$/)) { column = substr($0, RSTART + 7); sub(/ at row [0-9]+$/, "", column) }
  if (error == 1265 && column in known) next
  gsub(/\n/, "\\n", column)
  if (!seen[error, column]++) print error "\t" column
}
