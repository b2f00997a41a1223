# For programs that read LDIF that is not wrapped, each entry with its name first.
#
# plain(LINE) is what an attribute's line says, decoded; above(NAME) the name of the entry
# above; outside(NAME, BASE) whether it is the base, or above it.
#
# slapd writes one name in one way: escaped by "\", and a child's ends with its parent's.
BEGIN {
  # What slapd makes up for each answer, and does not store.
  made_up = "^(entrydn|hassubordinates|numsubordinates|numallsubordinates|subschemasubentry)$"
}
function alphabet(i) {
  for (i = 0; i < 64; i++) digit[substr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", i + 1, 1)] = i
  for (i = 1; i < 256; i++) byte[i] = sprintf("%c", i)
}
function decoded(s, i, a, b, c, d, out) {
  if (!(65 in byte)) alphabet()
  for (i = 1; i < length(s); i += 4) {
    a = digit[substr(s, i, 1)]; b = digit[substr(s, i + 1, 1)]; c = substr(s, i + 2, 1); d = substr(s, i + 3, 1)
    out = out byte[a * 4 + int(b / 16)]
    if (c != "=" && c != "") out = out byte[b % 16 * 16 + int(digit[c] / 4)]
    if (d != "=" && d != "") out = out byte[digit[c] % 4 * 64 + digit[d]]
  }
  return out
}
function plain(line, at) {
  at = index(line, ":")
  if (substr(line, at + 1, 1) == ":") return decoded(substr(line, at + 3))
  return substr(line, at + 2)
}
function above(dn, i, c) {
  for (i = 1; (c = substr(dn, i, 1)) != ""; i++) {
    if (c == "\\") i++
    else if (c == ",") return substr(dn, i + 1)
  }
  return ""
}
function outside(dn, base) {
  return dn == base || substr(base, length(base) - length(dn)) == "," dn
}
