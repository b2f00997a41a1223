#!/bin/sh
# in-pod-credentials.sh stands before the other programs that run in Cassandra's pod: both
# are handed over as one.

# credentials FILE: reads user and password from stdin, and writes them as cqlsh takes
# them, of either plug-in. They are in no argument.
credentials() {
  IFS= read -r user
  IFS= read -r password
  {
    printf "[PlainTextAuthProvider]\nusername = %s\npassword = %s\n" "$user" "$password"
    printf "[plain_text_auth]\nusername = %s\npassword = %s\n" "$user" "$password"
  } >"$1"
}
