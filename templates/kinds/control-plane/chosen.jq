# Which objects of an export are compared or applied: see unpack_list of objects.sh.
include "objects";

def chosen:
  (if env.apply == "yes" then (env.HOLDFAST_APPLY // "" | lines) else (env.HOLDFAST_ONLY // "" | lines) end) as $wanted
  | "\(.kind)/\(.metadata.name)" as $id | .kind as $kind
  | select(($wanted | length) == 0 or ($wanted | index([$id]) != null)
           or (env.apply == "no" and ($wanted | index([$kind]) != null)))
  | [0, $id, .];
