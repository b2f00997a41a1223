# The entries as they are stored, and what of them is lost: see dump.sh. Needs ldif.awk and
# schema.awk.
function lost(loss, item, why) {
  gsub(/[[:cntrl:]]/, "?", item)
  gsub(/[[:cntrl:]]/, "?", why)
  print loss "\t" item "\t" why >losses
}
# An entry ended: its lines are line[0] to line[lines - 1].
function entry(i, at, attribute, list, dn, sure, have, must, many) {
  at = plain(line[0])
  dn = tolower(at)
  if (part == "subentries" && dn in here) return
  here[dn] = at
  parent[above(dn)] = 1
  if (method != "ldapsearch") {
    for (i = 0; i < lines; i++) print line[i]
    print ""
    return
  }
  list = ""
  for (i = 1; i < lines; i++) {
    at = index(line[i], ":")
    attribute = tolower(substr(line[i], 1, at - 1))
    is[i] = attribute
    if (attribute == "objectclass") list = list " " plain(line[i])
    if (attribute == "hassubordinates" && plain(line[i]) == "TRUE") promised[dn] = 1
  }
  sure = checked && classes(list)
  print line[0]
  for (i = 1; i < lines; i++) {
    if (!(is[i] in own)) own[is[i]] = is[i] ~ made_up
    if (own[is[i]]) continue
    if (sure) {
      if (!allows(is[i])) {
        if (!(is[i] in computed)) example[is[i]] = here[dn]
        computed[is[i]]++
        continue
      }
      at = is[i]
      sub(/;.*/, "", at)
      have[id_of("attributetypes", at)] = 1
    }
    print line[i]
  }
  print ""
  if (sure) {
    many = split(musts[set], must, " ")
    for (i = 1; i <= many; i++) {
      if (!(id_of("attributetypes", must[i]) in have)) lost("hidden", here[dn], "its classes demand " must[i] ", which the server does not show")
    }
  }
}
# doom(DN): the loss that keeps the entry from coming back, by what is above it.
function doom(dn, up, loss) {
  if (dn in doomed) return doomed[dn]
  if (outside(dn, base)) return ""
  up = above(dn)
  loss = !(up in here) ? "orphan" : (up in bad) ? "schema" : doom(up)
  if (dn in parent) doomed[dn] = loss
  return loss
}
BEGIN { losses = ENVIRON["LOSSES"]; method = ENVIRON["HOLDFAST_METHOD"]; base = tolower(ENVIRON["LDAP_BASE_DN"]) }
part == "root" && tolower($1) ~ /^namingcontexts:/ { contexts = 1; context[tolower(plain($0))] = 1 }
part == "root" { next }
part == "schema" { schema($0); checked = ("objectclasses" SUBSEP "top") in known; next }
# slapschema says why, and then which entry.
checking && /^# \([0-9]+\)/ { why = substr($0, 3); next }
checking && /^dn::? / {
  # This one slapadd makes itself.
  if (why !~ /no structuralObjectClass/) {
    bad[tolower(plain($0))] = 1
    lost("schema", plain($0), why)
  }
  next
}
/^# holdfast: schema$/ && !lines { checking = 1; next }
/^# holdfast: unchecked$/ && checking { lost("unchecked", "slapschema", "it is not in the pod: nobody knows whether slapadd takes each entry"); next }
checking { next }
/^dn::? / && !lines { line[0] = $0; lines = 1; next }
lines && /^$/ { entry(); lines = 0; next }
lines { line[lines++] = $0; next }
/^# search reference/ { reference = 1; next }
/^$/ { reference = 0; next }
reference && /^# ref/ { sub(/^# ref(: )?/, ""); lost("referral", $0, "the server tells who has it, and does not show it") }
END {
  if (lines) entry()
  if (method == "ldapsearch" && !checked) lost("unchecked", "cn=Subschema", "the account cannot read it: nobody knows whether slapadd takes each entry")
  for (at in computed) lost("computed", at, computed[at] " entries have it although no class of theirs allows it, such as " example[at])
  for (dn in promised) if (!(dn in parent)) lost("hidden", here[dn], "the server says that there are entries below it, and shows none")
  if (contexts && !(base in context)) lost("orphan", here[base], "it is not the top of a database, and those above it are not in the copy")
  # With an entry those below it are lost.
  for (dn in here) if (!(dn in bad) && (why = doom(dn)) != "")
    lost(why, here[dn], (above(dn) in here) ? "an entry above it would not come back" : "the entry above it is not in the copy")
}
