# Cuts a list into files of "piece" lines, whose names begin with "name"; prints how many.
(NR - 1) % piece == 0 { if (n) close(name n); n++ }
{ print > (name n) }
END { print n + 0 }
