# name: the role at the start of s, as quote_ident would print it.
function name(s,   i) {
  if (substr(s, 1, 1) != "\"") { match(s, /^[^ ;]+/); return substr(s, 1, RLENGTH) }
  for (i = 2; i <= length(s); i++) {
    if (substr(s, i, 1) != "\"") continue
    if (substr(s, i + 1, 1) != "\"") break
    i++
  }
  return substr(s, 1, i)
}
