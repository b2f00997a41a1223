# The metadata without the size where the file "doubtful" names the object.
BEGIN { FS = OFS = "\t"; while ((getline line < doubtful) > 0) { split(line, part, "\t"); doubt[part[1]] } }
{ if ($1 in doubt) $3 = ""; print }
