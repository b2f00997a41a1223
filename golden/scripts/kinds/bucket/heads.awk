# A line for each answer in rclone's log of headers: name and headers: see heads of
# crypt.sh. Needs names.awk.
BEGIN {
  for (i = 1; i < 256; i++) byte[sprintf("%02X", i)] = sprintf("%c", i)
  quote = "\342\200\233"
  root = ENVIRON["SRC_ROOT"]
  split("cache-control content-disposition content-encoding content-language content-type", list, " ")
  for (i in list) system_header[list[i]] = 1
}
function picture(i) { return "\342\220" sprintf("%c", 128 + i) }
function name_of(path,   part, n, i, key) {
  n = split(path, part, "%")
  key = part[1]
  for (i = 2; i <= n; i++) key = key byte[toupper(substr(part[i], 1, 2))] substr(part[i], 3)
  if (substr(key, 1, length(root)) != root) return ""
  key = substr(key, length(root) + 1)
  if (key ~ /[^ -~]/) {
    key = replaced(key, quote, quote quote)
    for (i = 0; i <= 33; i++) if (i != 32) key = replaced(key, picture(i), quote picture(i))
    key = replaced(key, "\357\274\217", quote "\357\274\217")
    for (i = 1; i < 32; i++) key = replaced(key, sprintf("%c", i), picture(i))
    key = replaced(key, "\177", picture(33))
  }
  n = split(key, part, "/")
  key = ""
  for (i = 1; i <= n; i++) {
    if (part[i] == ".") part[i] = "\357\274\216"
    else if (part[i] == "..") part[i] = "\357\274\216\357\274\216"
    else if (part[i] == "\357\274\216") part[i] = quote part[i]
    else if (part[i] == "\357\274\216\357\274\216") part[i] = quote "\357\274\216" quote "\357\274\216"
    key = key (i > 1 ? "/" : "") part[i]
  }
  return slashed(key)
}
function lose(what, why) { printf "%s\t%s\t%s\n", what, name, why >> losses }
# Lines of others may stand between what belongs together, and values and names come
# from others: a line of the log begins with its time.
/^[0-9\/]+ [0-9:]+ DEBUG : HTTP (REQUEST|RESPONSE) \(req 0x[0-9a-f]+\)$/ {
  id = $NF
  expected = $(NF - 2)
  next
}
/^[0-9\/]+ [0-9:]+ DEBUG : / {
  text = substr($0, index($0, " DEBUG : ") + 9)
  sub(/\r$/, "", text)
  if (open) {
    printf "%s\t[%s]\n", name, headers
    open = 0
  }
  if (expected == "REQUEST" && text ~ /^[A-Z]+ \/[^ ]* HTTP\/[0-9.]+$/) {
    expected = ""
    if (text !~ /^(HEAD|GET) /) next
    sub(/^[A-Z]+ /, "", text)
    sub(/ HTTP\/[0-9.]+$/, "", text)
    sub(/[?].*$/, "", text)
    path[id] = text
  } else if (expected == "RESPONSE" && text ~ /^HTTP\/[0-9.]+ [0-9]+[A-Za-z -]*$/) {
    expected = ""
    if (text ~ /^HTTP\/[0-9.]+ 200/ && id in path) {
      name = name_of(path[id])
      headers = ""
      open = name != ""
    }
    delete path[id]
  }
  next
}
open && /^[!-9;-~]+: / {
  key = tolower(substr($0, 1, index($0, ": ") - 1))
  value = substr($0, index($0, ": ") + 2)
  sub(/\r$/, "", value)
  if (key in system_header || key ~ /^x-amz-meta-/) {
    if (value ~ /[^ -~\t]/ && !utf8(value)) lose("metadata", key " is no text in UTF-8")
    else headers = headers (headers == "" ? "" : ",") "{\"Key\":" string(key) ",\"Value\":" string(value) "}"
  } else if (key == "x-amz-tagging-count" && value > 0) lose("tags", value " tags")
  else if (key == "x-amz-missing-meta" && value > 0) lose("metadata", value " headers that the server does not tell")
  else if (key == "expires" || key == "x-amz-website-redirect-location") lose("metadata", key ": " value)
  next
}
/^[0-9\/]+ [0-9:]+ (ERROR|CRITICAL|NOTICE) *: / && !/ -vv as --dump/ { print > said }
