# Each statement of a script of pg_dumpall as one line: see statements of toc.sh.
BEGIN { single = sprintf("%c", 39) }
!open && (/^--/ || /^\\/ || /^$/) { next }
{
  held = open ? held "\001" $0 : $0
  open = 1
  rest = $0
  while (rest != "") {
    if (quote != "") {
      at = index(rest, quote)
      if (!at) break
      quote = ""
    } else {
      at = index(rest, single); other = index(rest, "\"")
      if (!at || (other && other < at)) at = other
      if (!at) break
      quote = substr(rest, at, 1)
    }
    rest = substr(rest, at + 1)
  }
  if (quote == "" && /;$/) { print held; open = 0 }
}
END { if (open) { print "a statement has no end" >"/dev/stderr"; exit 1 } }
