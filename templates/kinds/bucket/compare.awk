# What is to do, of the source's list; the copy's list, and what is known of earlier runs,
# lie sorted in the folder "work". See compare of dump.sh.
BEGIN {
  FS = OFS = "\t"
  copies = work "copy"; knowns = work "known.sorted"
  read_copy()
  read_known()
}
function read_copy(   line) {
  if ((getline line < copies) > 0) { split(line, copy, "\t"); copy_name = copy[1] "" } else copy_end = 1
}
function read_known(   line) {
  if ((getline line < knowns) > 0) { split(line, known, "\t"); known_name = known[1] "" } else known_end = 1
}
function is_gone() {
  print copy_name > (work "gone")
  gone++
  read_copy()
}
{
  name = $1 ""
  while (!copy_end && copy_name < name) is_gone()
  while (!known_end && known_name < name) read_known()
  asked = written = size = ""
  doubt = 0
  while (!known_end && known_name == name) {
    # Each of several runs that did not end may be the last that copied it.
    if (known[5] == "" && ($3 "" != known[4] "" || known[3] != "" && $2 "" != known[3] "")) doubt = 1
    asked = known[4] ""
    size = known[3] ""
    written = known[5] ""
    read_known()
  }
  if (copy_end || copy_name != name) {
    print $1, $2, $3 > (work "todo")
    print name > (work "new")
    new++
    next
  }
  # Not every server tells less than a second: what has another size than it was
  # asked for has other headers as well.
  if (written != "") differs = $3 "" != asked || $2 "" != size || copy[3] "" < written
  else differs = $3 "" > copy[3] "" || doubt
  if (differs || $2 != copy[2]) {
    print $1, $2, $3 > (work "todo")
    print name > (work "changed")
    changed++
    if (written == "") replaced++
  }
  read_copy()
}
END {
  while (!copy_end) is_gone()
  print new + 0, changed + 0, gone + 0, replaced + 0
}
