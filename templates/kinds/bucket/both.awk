# Of each name the metadata that there are, and then the version that is wanted, with its
# time. ARGV: the metadata, what is wanted.
BEGIN {
  FS = OFS = "\t"
  while ((getline line < unfinished) > 0) open[line]
  while ((getline line < times) > 0) { split(line, part, "\t"); time[part[1] OFS part[2]] = part[3] }
}
FILENAME ~ /metadata$/ { print $1, 1, $2, $5, $3, substr($4, 1, 19), ($2 in open) + 0; next }
{ print $1, 2, $3, $2, time[$3 OFS $1] }
