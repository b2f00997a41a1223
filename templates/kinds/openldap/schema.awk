# schema(LINE) learns a line of cn=Subschema. classes(LIST) is whether all of an entry's
# classes are known; then allows(ATTRIBUTE) is about that entry, and musts[set] is what they
# demand, as slapd decides it (RFC 4512, section 2.4). Needs ldif.awk.
# values(I): the words of t[I], or of the list in brackets that begins there, as one
# text; sets past.
function values(i, out) {
  past = i + 1
  if (t[i] != "(") return t[i]
  for (i++; i <= n && t[i] != ")"; i++) if (t[i] != "$") out = out (out == "" ? "" : " ") t[i]
  past = i + 1
  return out
}
function schema(line, kind, text, i, id, names, many, j, key) {
  kind = tolower(substr(line, 1, index(line, ":") - 1))
  if (kind != "objectclasses" && kind != "attributetypes" && kind != "ditcontentrules") return
  text = plain(line)
  # Free text may hold anything.
  sub(/ DESC \047[^\047]*\047/, "", text)
  gsub(/ X-[A-Za-z_-]+ (\047[^\047]*\047|\([^)]*\))/, "", text)
  gsub(/[()$]/, " & ", text)
  gsub(/\047/, "", text)
  n = split(text, t, /[ \t]+/)
  i = t[1] == "" ? 2 : 1
  id = tolower(t[i + 1])
  if (id == "") return
  known[kind, id] = id
  known[kind] = 1
  for (i += 2; i <= n; ) {
    key = t[i]
    if (key == "NAME") {
      many = split(tolower(values(i + 1)), names, " ")
      for (j = 1; j <= many; j++) known[kind, names[j]] = id
      i = past
    } else if (key == "SUP" || key == "MUST" || key == "MAY") {
      says[kind, id, key] = tolower(values(i + 1))
      i = past
    } else {
      if (key == "USAGE" && t[i + 1] != "userApplications") operational[id] = 1
      if (key == "COLLECTIVE") collective[id] = 1
      i++
    }
  }
}
# id_of(KIND, NAME): its number; the name itself where the server does not tell of it.
function id_of(kind, name) { return (kind, name) in known ? known[kind, name] : name }
function learn(list, must, names, many, j, id) {
  many = split(list, names, " ")
  for (j = 1; j <= many; j++) {
    id = id_of("attributetypes", names[j])
    may[set, id] = 1
    if (must && !((set, id) in must_have)) {
      must_have[set, id] = 1
      musts[set] = musts[set] " " names[j]
    }
  }
}
function class(id, names, many, j) {
  if ((set, "class", id) in seen_class) return
  seen_class[set, "class", id] = 1
  if (id == id_of("objectclasses", "extensibleobject")) anything[set] = 1
  if (id == id_of("objectclasses", "collectiveattributesubentry")) gathers[set] = 1
  learn(says["objectclasses", id, "MUST"], 1)
  learn(says["objectclasses", id, "MAY"], 0)
  if (("ditcontentrules", id) in known) {
    learn(says["ditcontentrules", id, "MUST"], 0)
    learn(says["ditcontentrules", id, "MAY"], 0)
  }
  many = split(says["objectclasses", id, "SUP"], names, " ")
  for (j = 1; j <= many; j++) if (("objectclasses", names[j]) in known) class(known["objectclasses", names[j]])
}
# classes(LIST): the entry has these. A server does not tell of all that it knows:
# where it has some that are not here, nothing is said of the entry.
function classes(list, names, many, j) {
  set = tolower(list)
  if (set in learned) return learned[set]
  learned[set] = 1
  many = split(set, names, " ")
  for (j = 1; j <= many; j++) {
    if (("objectclasses", names[j]) in known) class(known["objectclasses", names[j]])
    else learned[set] = 0
  }
  return learned[set]
}
function allows(attribute, key, id) {
  sub(/;.*/, "", attribute)
  key = tolower(attribute)
  if ((set, key) in decided) return decided[set, key]
  if (!(("attributetypes", key) in known)) return decided[set, key] = 1
  id = known["attributetypes", key]
  if (id in operational || key == "objectclass") return decided[set, key] = 1
  if (id in collective && !(set in gathers)) return decided[set, key] = 0
  return decided[set, key] = (set in anything) || ((set, id) in may)
}
