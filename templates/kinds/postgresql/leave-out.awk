# The entries without those whose ids are in "named", and without what hangs on them.
FILENAME == named { out[$1] = 1; next }
{ line[++lines] = $0; if (($1 in out) && $3 == "TABLE") data[$2] = 1 }
END {
  for (i = 1; i <= lines; i++) {
    split(line[i], field, "\t")
    n = split(field[7], part, " ")
    for (j = 1; j <= n; j++) if (part[j] in out) with = 1
    if (field[3] == "TABLE DATA" && (field[2] in data)) with = 1
    if (with && !(field[1] in out)) { out[field[1]] = 1; print field[10] >>left; if (field[3] == "TABLE") data[field[2]] = 1 }
    with = 0
    if (!(field[1] in out)) print line[i]
  }
}
