# What is missing of what was wanted, and why, and what there is more. What is there is in
# the file "after", sorted, and why objects failed in the file "failing".
BEGIN {
  FS = "\t"
  while ((getline line < failing) > 0) { split(line, part, "\t"); why[part[1]] = part[2] }
  read_after()
}
function read_after() {
  if ((getline line < after) > 0) { split(line, there, "\t"); there_name = there[1] "" } else end = 1
}
{
  name = $1 ""
  while (!end && there_name < name) { print "more\t" there_name; read_after() }
  if (end || there_name != name) print "missing\t" name "\t" (name in why ? why[name] : "it is not in the target")
  else {
    if (name in why) print "missing\t" name "\t" why[name]
    else if (there[2] != $2) print "missing\t" name "\tit has " there[2] " bytes in the target, and " $2 " in the copy"
    read_after()
  }
}
END { while (!end) { print "more\t" there_name; read_after() } }
