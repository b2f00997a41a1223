# Which Secrets of a dump are restored: see unpack_list of objects.sh.
include "objects";

def chosen:
  (env.HOLDFAST_ONLY // "" | lines) as $only
  | select(.kind == "Secret")
  # The API server quotes a value of a wrong type.
  | if all((.data // {})[]; type == "string") and .stringData == null then . else error("not as Secrets are") end
  | select(($only | length) == 0 or (.metadata.name as $name | $only | index([$name]) != null))
  | .metadata.namespace = env.HOLDFAST_NAMESPACE
  | [0, .metadata.name, .];
