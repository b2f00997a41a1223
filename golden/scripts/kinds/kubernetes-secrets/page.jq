# The Secrets of one page of a list, as they are dumped.
include "objects";
if .kind == "SecretList" and (.metadata | type) == "object" then (.items // [])[] else error("this is no list") end
# An owner that is not restored with it would have it collected.
| {apiVersion: "v1", kind: "Secret"} + .
| own
| del(.metadata.annotations["kubectl.kubernetes.io/last-applied-configuration"])
| if .metadata.annotations == {} then del(.metadata.annotations) else . end
