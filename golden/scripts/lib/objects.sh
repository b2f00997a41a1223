#!/bin/sh
# objects.sh is sourced by restores of objects of Kubernetes, after common.sh. It needs
# jq and kubectl.

# unpack_list FILE MODULE: the objects of a JSON List, each in a file of its own below
# $WORK/objects; $WORK/order has "file id" of each. MODULE is a file of jq that defines
# chosen: it makes an array of each object: rank, id, what to write; or nothing. The lower
# rank comes first; of one below 0 only the id is noted, in $WORK/aside. The List is never
# held. What jq says may quote it, so it is not repeated.
unpack_list() {
  unpack_module=${2##*/}
  # shellcheck disable=SC2016 # jq's own variables
  attempt_silently 65 'reading the dump' jq -n --stream '
    reduce inputs as $e ({documents: 0};
      if ($e | length) == 1 and ($e[0] | length) == 1 then .documents += 1
      elif $e[0] == ["kind"] then .kind = $e[1]
      elif $e[0] == ["items"] then .items = ($e[1] == [])
      elif $e[0][0] == "items" then .items = ($e[0][1] | type == "number")
      else . end)
    | if .documents == 1 and .kind == "List" and .items then empty else error("this is no List") end' "$1"
  mkdir -- "$WORK/objects" "$WORK/ranks" || die 73 'scratch cannot be written'
  # A pipe tells nothing of what comes first in it, so it ends with a line.
  { attempt_silently 65 'reading the dump' jq -n -r --stream -L "$HOLDFAST_ROOT/bin" \
    "include \"${unpack_module%.jq}\"; fromstream(2 | truncate_stream(inputs | select(.[0][0] == \"items\"))) | chosen | \"\\(1000 + .[0]) \\(.[1])\\t\\(.[2] | tojson)\"" "$1" && echo end; } |
    awk -v folder="$WORK" -f "$HOLDFAST_ROOT/bin/unpack.awk" || die 65 'reading the dump: it cannot be taken apart'
  : >>"$WORK/aside" || die 73 'scratch is full'
  : >"$WORK/order"
  for rank in "$WORK"/ranks/*; do
    [ ! -e "$rank" ] || cat -- "$rank" >>"$WORK/order" || die 73 'scratch is full'
  done
}

# compare_object LIVE COPY: sets DIFFERS to the fields of the copy that are not the
# same in the live object, "" if there are none, and GOING to what is known of one that
# is being deleted. Fields that only the live one has are no difference. What a cluster,
# kubectl, Flux, Helm or we set by themselves is not compared; nor is how often a
# workload runs, for it is stopped while its data comes back.
compare_object() {
  attempt_silently 65 'comparing an object' jq -n -r -L "$HOLDFAST_ROOT/bin" --slurpfile live "$1" --slurpfile copy "$2" \
    --from-file "$HOLDFAST_ROOT/bin/compare.jq" >"$WORK/compared"
  # shellcheck disable=SC2034 # for the caller
  { IFS= read -r DIFFERS && IFS= read -r GOING; } <"$WORK/compared" || die 65 'comparing an object: no answer'
}
