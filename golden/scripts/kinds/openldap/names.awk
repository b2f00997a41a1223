# The name of each entry. Needs ldif.awk.
/^dn::? / { dn = plain($0); gsub(/[[:cntrl:]]/, "?", dn); print dn }
