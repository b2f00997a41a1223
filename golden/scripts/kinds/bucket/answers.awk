# The objects whose request failed, and why, of rclone's answers to the file "requests".
BEGIN { FS = "\t" }
/^\t\t\{/ { getline line < requests; split(line, part, "\t"); name = part[1]; answers++ }
/^\t\t\t"error": / { why = $0; sub(/^\t*"error": "/, "", why); sub(/",?$/, "", why); print name "\t" why }
END { while ((getline line < requests) > 0) { split(line, part, "\t"); print part[1] "\trclone did not answer" } }
