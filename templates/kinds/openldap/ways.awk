# How slapd is held back in a pod, "args" or "command", and the claim that has the database.
$1 == "container" { mine = $2 == ENVIRON["LDAP_CONTAINER"] }
$1 == "container" && mine { command = $3; args = $4 }
$1 == "mount" && mine && index(ENVIRON["LDAP_DATABASE_DIR"] "/", $2 "/") == 1 && length($2) > length(place) { place = $2; volume = $3 }
$1 == "claim" { claim[$2] = $3 }
END {
  idle = "[\"sleep\",\"infinity\"]"
  # The start script of an image must run, for some write the configuration:
  # only what it starts is held back. Where the pod has a command of its own,
  # or the script starts slapd whatever it is told, there is no such way.
  print (command == "" && args != idle || command == idle) ? "args" : "command"
  print claim[volume]
}
