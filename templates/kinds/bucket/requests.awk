# The requests to rclone, one a line: name and JSON. A name that is no UTF-8 lies in a file
# of its own in "folder". Objects whose copy was cut go to the file "damaged". Needs
# names.awk.
BEGIN {
  FS = OFS = "\t"
  while ((getline line < hot) > 0) { split(line, part, "\t"); changing[part[1]] }
  target = string(ENVIRON["HOLDFAST_SOURCE"])
}
$1 "" != name { name = $1 ""; n = 0 }
$2 == 1 { n++; stamp[n] = $3; headers[n] = $4; size[n] = $5; time[n] = $6 ""; open[n] = $7; next }
{
  bare = $3
  sub(/^history\//, "", bare)
  # If none is of its time, it changed while it was copied: the last of a whole run.
  sure = 1
  other = last = 0
  for (i = n; i > 0; i--) if ($3 == "current" || stamp[i] < bare) {
    if ($5 == "" || time[i] ~ /^2000-01-01/ || ($3 == "current" ? time[i] == $5 "" : time[i] <= $5 "")) break
    if (!last) last = i
    if (!other && !open[i]) other = i
  }
  if (i == 0 && last) {
    i = other ? other : last
    sure = 0
  }
  if (i == 0) without++
  else if (sure && size[i] != "" && size[i] != $4 && !(name in changing)) {
    print name, "its copy has " ($4 < 0 ? 0 : $4) " bytes, and had " size[i] " when it was made: it was cut" > damaged
    next
  }
  config = "\"_config\":{\"NoCheckDest\":true,\"IgnoreTimes\":true,\"NoTraverse\":true,\"NoUnicodeNormalization\":true,\"UploadHeaders\":"
  config = config (i ? headers[i] : "[]") "}"
  if (name !~ /[^ -~]/ || utf8(name))
    print $1, "{\"_path\":\"operations/copyfile\",\"srcFs\":\"enc:" $3 "\",\"srcRemote\":" string(name) \
      ",\"dstFs\":" target ",\"dstRemote\":" string(name) "," config "}"
  else {
    files++
    file = folder files
    print name > file
    close(file)
    print $1, "{\"_path\":\"sync/copy\",\"srcFs\":\"enc:" $3 "\",\"dstFs\":" target ",\"_filter\":{\"FilesFromRaw\":[" string(file) "]}," config "}"
  }
}
END { if (without) print without > (folder "without") }
