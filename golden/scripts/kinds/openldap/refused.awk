# The names of the entries that slapadd refused, and why. Needs ldif.awk.
part == "said" {
  at = $0
  if (sub(/^slapadd: .*[(]line=/, "", at) || sub(/^slapadd: line /, "", at)) {
    line = at + 0
    sub(/^[0-9]+[):]* */, "", at)
    why[line] = "slapadd: " (at == "" ? "it cannot be read" : at)
  }
  next
}
# A number that is not that of its first line is one within.
/^dn::? / { dn = plain($0); gsub(/[[:cntrl:]]/, "?", dn) }
FNR in why { gsub(/[[:cntrl:]]/, "?", why[FNR]); print dn "\t" why[FNR] }
