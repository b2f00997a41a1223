# Takes lines of "rank id", a tab and an object apart: see unpack_list of objects.sh. The last
# line says that there are no more.
$0 == "end" { whole = 1; next }
{
  at = index($0, "\t")
  rank = $0
  sub(/ .*/, "", rank)
  id = substr($0, length(rank) + 2, at - length(rank) - 2)
  if (rank + 0 < 1000) { print id >(folder "/aside"); next }
  n++
  file = folder "/objects/" n
  print substr($0, at + 1) >file
  close(file)
  print n " " id >(folder "/ranks/" rank)
}
END { exit !whole }
