# Each entry of the list, its class and path.
include "entry";
(env.HOLDFAST_SNAPSHOT_PATH | rtrimstr("/")) as $root
| entries($root) | "E \(class) \(.path[($root | length):])" | gsub("[\u0000-\u001f\u007f]"; "?")
