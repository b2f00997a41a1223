# The secrets of the dump, or those that HOLDFAST_ONLY names.
((env.HOLDFAST_ONLY // "") | split("\n") | map(select(test("[^[:space:]]")))) as $only
| if .format == "holdfast.dev/kv-v2" and .formatVersion == 1 then . else error("this is no dump of a key-value store") end
| .secrets | to_entries[]
| select(($only | length) == 0 or (.key as $path | $only | index([$path]) != null))
