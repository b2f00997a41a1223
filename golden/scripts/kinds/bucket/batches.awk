# Cuts the requests into files of as many as an argument holds, whose names begin with
# "name"; prints how many.
BEGIN { room = 0 }
{
  size = length($0) + 1
  if (size > room) { if (n) close(name n); n++; room = 98304 }
  room -= size
  print > (name n)
}
END { print n + 0 }
