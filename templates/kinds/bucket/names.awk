# slashed(NAME) is the name by which rclone finds a key that it lists with an empty part,
# such as "a//b": the other slashes are written as "／". utf8(TEXT) tells whether it is,
# string(TEXT) writes it in JSON. By bytes, without patterns: not every awk has patterns
# of bytes.
function slashed(text,   part, n, i, out) {
  if (text !~ /^\/|\/$|\/\//) return text
  n = split(text, part, "/")
  out = part[1]
  for (i = 2; i <= n; i++) out = out (part[i - 1] == "" || i == n && part[i] == "" ? "\357\274\217" : "/") part[i]
  return out
}
function replaced(text, from, to,   at, out) {
  while ((at = index(text, from)) > 0) {
    out = out substr(text, 1, at - 1) to
    text = substr(text, at + length(from))
  }
  return out text
}
function utf8(text,   i, n, c, more, least, most) {
  if (!("A" in code)) for (i = 1; i < 256; i++) code[sprintf("%c", i)] = i
  n = length(text)
  for (i = 1; i <= n; i++) {
    c = code[substr(text, i, 1)]
    if (more > 0) {
      if (c < least || c > most) return 0
      least = 128
      most = 191
      more--
      continue
    }
    if (c < 128) continue
    if (c < 194 || c > 244) return 0
    more = c < 224 ? 1 : c < 240 ? 2 : 3
    least = c == 224 ? 160 : c == 240 ? 144 : 128
    most = c == 237 ? 159 : c == 244 ? 143 : 191
  }
  return more == 0
}
function string(text) {
  return "\"" replaced(replaced(replaced(text, "\\", "\\\\"), "\"", "\\\""), "\t", "\\t") "\""
}
