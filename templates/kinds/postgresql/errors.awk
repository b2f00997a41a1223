# Which entries of a list pg_restore did not make, by what it said. ARGV: the list, what
# it said. To the file "why" go their ids, and why; it fails if something failed, and nobody knows what.
function flush() {
  if (message != "") { failing[id] = 1; message = "" }
}
function clean(s) { gsub(/[\001-\037\177]/, " ", s); return substr(s, 1, 300) }
FILENAME == ARGV[1] { listed[$1 $2 " " $3] = 1; next }
/^pg_restore: from TOC entry [0-9]+; [0-9]+ [0-9]+ / {
  if (($5 $6 " " $7) in listed) { flush(); id = $5; sub(/;/, "", id); next }
}
/^pg_restore: error: / {
  flush()
  said = 1
  message = substr($0, 20); sub(/^could not execute query: /, "", message)
  if (id == "") { nowhere = 1; message = ""; next }
  print id "\t" clean(message) >why
  next
}
message != "" && /^Command was: / {
  if ($0 ~ /^Command was: ALTER .* OWNER TO /) message = ""
  else flush()
  next
}
END {
  flush()
  for (i in failing) print i
  # Something failed, and nobody knows what.
  if (nowhere || !said) exit 1
}
