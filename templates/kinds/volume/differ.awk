# Which entries differ, and how: those of the snapshot begin with E, those of the target with
# A and their first "strip" bytes are the target's own path. Fails if a list was cut.
function name(n) { sub(/^[AE] [^ ]* [0-9]* [0-9]* /, "", n); return n }
function show(class, part) { split(class, part, " "); return part[2] ":" part[3] " with mode " part[1] }
$1 == "E" { want[name($0)] = $2 " " $3 " " $4; next }
$0 == "end" { whole = 1 }
$1 == "A" { path = substr(name($0), strip + 1); if (path in want) have[path] = $2 " " $3 " " $4 }
END {
  for (path in want)
    if (!(path in have)) { if (path !~ /[?]|\357\277\275/) print path "\tit is not in the target" }
    else if (have[path] != want[path]) print path "\tit was of " show(want[path]) ", and is of " show(have[path])
  exit !whole
}
