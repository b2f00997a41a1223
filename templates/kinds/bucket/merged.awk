# The lines whose name is in the file "other"; both are sorted.
BEGIN { FS = "\t"; read_other() }
function read_other() {
  if ((getline line < other) > 0) { split(line, part, "\t"); name = part[1] "" } else end = 1
}
{
  while (!end && name < $1 "") read_other()
  if (!end && name == $1 "") print
}
