# Folder and name of each version whose time must be asked for. ARGV: the metadata, what is
# wanted.
BEGIN { FS = OFS = "\t"; while ((getline line < unfinished) > 0) open[line] }
FILENAME ~ /metadata$/ { if ($2 in open) asked[$1]; next }
$3 != "current" || $1 in asked { print $3, $1 }
