# The lines whose names and contents are not in the file "other"; both are sorted.
BEGIN { FS = "\t"; read_other() }
function read_other() {
  if ((getline line < other) > 0) { split(line, part, "\t"); name = part[1] "" } else end = 1
}
{
  while (!end && name < $1 "") read_other()
  # As text: "01" is not "1".
  if (end || line "" != $0 "") print
}
