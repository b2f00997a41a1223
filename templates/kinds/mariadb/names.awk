# Names in hexadecimal digits, in which any name can be handled. raw(HEX) is the name,
# octal(HEX) the same for printf %b, quoted(HEX) the digits of it between backticks,
# folded(HEX) without capitals. hexed(TEXT) is printable ASCII in such digits.
BEGIN { for (i = 32; i < 127; i++) ascii = ascii sprintf("%c", i) }
function code(hex, i) {
  return index("0123456789ABCDEF", substr(hex, i, 1)) * 16 + index("0123456789ABCDEF", substr(hex, i + 1, 1)) - 17
}
function raw(hex, i, s) {
  s = ""
  for (i = 1; i < length(hex); i += 2) s = s sprintf("%c", code(hex, i))
  return s
}
function octal(hex, i, s) {
  s = ""
  for (i = 1; i < length(hex); i += 2) s = s sprintf("\\0%03o", code(hex, i))
  return s
}
function quoted(hex, i, s) {
  s = "60"
  for (i = 1; i < length(hex); i += 2) s = s substr(hex, i, 2) (substr(hex, i, 2) == "60" ? "60" : "")
  return s "60"
}
function folded(hex, i, s, c) {
  s = ""
  for (i = 1; i < length(hex); i += 2) {
    c = code(hex, i)
    s = s sprintf("%02X", c >= 65 && c <= 90 ? c + 32 : c)
  }
  return s
}
function hexed(text, i, s) {
  s = ""
  for (i = 1; i <= length(text); i++) s = s sprintf("%02X", index(ascii, substr(text, i, 1)) + 31)
  return s
}
