# What earlier runs lost, and is lost still: of objects that are in the list "copies" and
# were not asked for, whose names are in the file "anew".
BEGIN { FS = "\t" }
$1 != "name" { lines[++n] = $0; item[n] = $2; wanted[$2] }
END {
  while ((getline line < anew) > 0) asked[line]
  while ((getline line < copies) > 0) { split(line, part, "\t"); if (part[1] in wanted) there[part[1]] }
  for (i = 1; i <= n; i++) if (!(item[i] in asked) && item[i] in there) print lines[i]
}
