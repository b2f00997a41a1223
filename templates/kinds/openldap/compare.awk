# Compares each entry of the LDIF with its like in the database; prints how many were read
# back. Needs ldif.awk.
# entry(FILE, K): the next one, as line[K, 1] (its name) to line[K, lines[K]].
function entry(file, k, text) {
  lines[k] = 0
  while ((getline text <file) > 0) {
    if (text == "") { if (lines[k]) return 1 }
    else if (lines[k] || text ~ /^dn::? /) line[k, ++lines[k]] = text
  }
  return lines[k]
}
# keep(K, AS): the entry under another key.
function keep(k, as, i) {
  for (i = 1; i <= lines[k]; i++) line[as, i] = line[k, i]
  lines[as] = lines[k]
}
function drop(k, i) {
  for (i = 1; i <= lines[k]; i++) delete line[k, i]
  delete lines[k]
}
function value(text) { return substr(text, index(text, ":")) }
# compare(K, L): whether each line of the one is in the other, in any order.
function compare(k, l, i, have, lacks, at) {
  for (i = 2; i <= lines[k] && line[k, i] == line[l, i]; i++) continue
  if (i > lines[k]) return
  for (i = 2; i <= lines[l]; i++) have[value(line[l, i])] = 1
  for (i = 2; i <= lines[k]; i++) if (!(value(line[k, i]) in have)) {
    at = substr(line[k, i], 1, index(line[k, i], ":") - 1)
    if (!((" " at " ") in have)) lacks = lacks " " at
    have[" " at " "] = 1
  }
  if (lacks != "") report(k, "it came back without values of" lacks)
}
function report(k, why, at) {
  at = plain(line[k, 1])
  gsub(/[[:cntrl:]]/, "?", at)
  print at "\t" why >missing
}
function uuid(k, i) {
  for (i = 2; i <= lines[k]; i++) if (line[k, i] ~ /^entryUUID: /) return line[k, i]
  return ""
}
# meet(K, MINE, OTHERS): the entry finds its like among those that wait, or waits.
function meet(k, mine, others, dn) {
  dn = line[k, 1]
  if ((others, dn) in waits) {
    if (mine == "want") compare(k, others SUBSEP dn)
    else compare(others SUBSEP dn, k)
    drop(others SUBSEP dn)
    delete waits[others, dn]
  } else {
    waits[mine, dn] = mine
    keep(k, mine SUBSEP dn)
  }
}
BEGIN {
  missing = ENVIRON["MISSING"]
  for (;;) {
    a = entry(ARGV[1], 1)
    b = entry(ARGV[2], 2)
    if (!a && !b) break
    if (b) loaded++
    if (a && b && line[1, 1] == line[2, 1]) { compare(1, 2); continue }
    if (a) meet(1, "want", "got")
    if (b) meet(2, "got", "want")
  }
  # slapadd may write a name otherwise than the copy.
  for (i in waits) if (waits[i] == "got" && (at = uuid(i)) != "") same[at] = i
  for (i in waits) if (waits[i] == "want") {
    at = uuid(i)
    if (at != "" && at in same) compare(i, same[at])
    else report(i, "it is not in the database, although slapadd took it")
  }
  print loaded + 0
  exit
}
