# What of an object is compared: not what the API server adds, nor what changes all the time.
include "objects";
own | del(.status, .metadata.annotations["kubectl.kubernetes.io/last-applied-configuration"])
