# The entries to load, and why each of the others is not: see choose of restore.sh. Needs
# ldif.awk.
BEGIN { base = tolower(ENVIRON["LDAP_BASE_DN"]); without = ENVIRON["WITHOUT"] }
function fate(dn, d) {
  for (d = dn; ; d = above(d)) {
    if (d in skip) return d == dn ? skip[d] : "an entry above it is not restored: " shown[d]
    if (!(d in last)) return "the entry above it is not in the copy"
    if (outside(d, base)) return ""
  }
}
part == "skip" { at = index($0, "\t"); dn = tolower(substr($0, 1, at - 1)); skip[dn] = substr($0, at + 1); next }
part == "names" { last[tolower($0)] = ++named; shown[tolower($0)] = $0; next }
/^dn::? / && !inside {
  inside = 1
  take = 0
  dn = tolower(plain($0))
  gsub(/[[:cntrl:]]/, "?", dn)
  if (++seen < last[dn]) next
  why = fate(dn)
  if (why == "") { take = 1; print }
  else print shown[dn] "\t" why >without
  next
}
/^$/ { if (take) print; inside = take = 0; next }
!take { next }
{
  at = tolower(substr($0, 1, index($0, ":") - 1))
  if (!(at in own)) own[at] = at ~ made_up
  if (!own[at]) print
}
