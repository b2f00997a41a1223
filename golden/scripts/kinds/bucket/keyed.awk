# Each object of a list once, by its name. Needs names.awk.
BEGIN { FS = OFS = "\t" }
$1 ~ /\/$/ && $2 == -1 {
  if ($3 !~ /^2000-01-01T00:00:00/) next
  $2 = 0
}
{
  $1 = slashed($1)
  print
}
