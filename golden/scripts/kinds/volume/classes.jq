# How many entries and files the list has, and then of each class how many.
include "entry";
(env.HOLDFAST_SNAPSHOT_PATH | rtrimstr("/")) as $root
| reduce entries($root) as $node ({entries: 0, files: 0, classes: {}};
  .entries += 1
  | if $node.type == "file" then .files += 1 else . end
  | .classes[$node | class] += 1)
| "\(.entries) \(.files)", (.classes | to_entries[] | "\(.key) \(.value)")
