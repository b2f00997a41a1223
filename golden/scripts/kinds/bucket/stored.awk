# What is stored of each object that was asked for: name, "stamp", size, time, and the
# headers, from the file "other"; both are sorted.
BEGIN { FS = OFS = "\t"; read_other() }
function read_other(   line) {
  if ((getline line < other) > 0) { at = index(line, "\t"); name = substr(line, 1, at - 1); headers = substr(line, at + 1) } else end = 1
}
{
  while (!end && name < $1 "") read_other()
  if (!end && name == $1 "") print $1, stamp, $2, $3, headers
}
