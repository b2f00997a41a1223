#!/bin/sh
# objects.sh is sourced by restores of objects of Kubernetes, after common.sh. It needs
# jq and kubectl.

# unpack_list FILE FILTER: the objects of a JSON List, each in a file of its own below
# $WORK/objects; $WORK/order has "file id" of each. FILTER, a jq filter, makes an array
# of each: rank, id, what to write; or nothing. The lower rank comes first; of one below
# 0 only the id is noted, in $WORK/aside. The List is never held. What jq says may quote
# it, so it is not repeated.
unpack_list() {
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
  { attempt_silently 65 'reading the dump' jq -n -r --stream \
    "fromstream(2 | truncate_stream(inputs | select(.[0][0] == \"items\"))) | $2 | \"\\(1000 + .[0]) \\(.[1])\\t\\(.[2] | tojson)\"" "$1" && echo end; } |
    awk -v folder="$WORK" '
      $0 == "end" { whole = 1; next }
      {
        at = index($0, "\t")
        rank = $0
        sub(/ .*/, "", rank)
        id = substr($0, length(rank) + 2, at - length(rank) - 2)
        if (rank + 0 < 1000) { print id >(folder "/aside"); next }
        n++
        file = folder "/objects/" n
        print substr($0, at + 1) >file
        close(file)
        print n " " id >(folder "/ranks/" rank)
      }
      END { exit !whole }' || die 65 'reading the dump: it cannot be taken apart'
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
  # shellcheck disable=SC2016 # jq's own variables
  attempt_silently 65 'comparing an object' jq -n -r --slurpfile live "$1" --slurpfile copy "$2" '
    def foreign: test("^((kubectl|deployment|control-plane\\.alpha|autoscaling\\.alpha|pv|volume|volume\\.beta|endpoints|batch)\\.kubernetes\\.io"
      + "|reconcile\\.fluxcd\\.io|kustomize\\.toolkit\\.fluxcd\\.io|meta\\.helm\\.sh|field\\.cattle\\.io)/|^deprecated\\.daemonset\\.template\\.generation$");
    def said:
      del(.apiVersion, .kind, .status, .metadata.name, .metadata.namespace, .metadata.uid, .metadata.resourceVersion,
          .metadata.creationTimestamp, .metadata.managedFields, .metadata.generation, .metadata.selfLink, .metadata.generateName,
          .metadata.ownerReferences, .metadata.finalizers, .metadata.deletionTimestamp, .metadata.deletionGracePeriodSeconds)
      | if .metadata.annotations then .metadata.annotations |= with_entries(select(.key | foreign | not)) else . end
      | if .metadata.labels["holdfast.dev/unit"]? then del(.metadata.labels["holdfast.dev/unit"], .metadata.annotations["k8up.io/backup"]) else . end
      | if .spec.template.metadata.annotations? then .spec.template.metadata.annotations |= with_entries(select(.key | foreign | not)) else . end;
    def differ($want; $have; $path):
      if ($want | type) == "object" and ($have == null or ($have | type) == "object") then
        $want | keys[] as $key | differ($want[$key]; $have[$key]; $path + "." + ($key | tostring))
      elif ($want | type) == "array" and ($have | type) == "array" and ($want | length) == ($have | length) then
        range($want | length) as $i | differ($want[$i]; $have[$i]; $path + "[\($i)]")
      elif $want == $have then empty
      elif $have == null and ($want == "" or $want == false or ([$want | .. | scalars] | length) == 0) then empty
      else $path end;
    $copy[0] as $copy | $live[0] as $live
    | ($copy | said
       # How work is stopped while data comes back.
       | if (.spec? | type) == "object" then del(.spec.replicas) else . end
       | if $copy.kind == "CronJob" then del(.spec.suspend) else . end
       # Of an account, the tokens and pull secrets that clusters make themselves; of a
       # token, when it was used.
       | if $copy.kind == "ServiceAccount" then del(.secrets) else . end
       | if .imagePullSecrets? then .imagePullSecrets |= map(select(.name? // "" | test("-dockercfg-[a-z0-9]{5}$") | not)) else . end
       | if .imagePullSecrets? == [] then del(.imagePullSecrets) else . end
       | if .metadata.labels? then del(.metadata.labels["kubernetes.io/legacy-token-last-used"]) else . end) as $want
    | ([limit(4; differ($want; $live | said; ""))] | join(", ")),
      (if $live.metadata.deletionTimestamp then
         "it is being deleted since \($live.metadata.deletionTimestamp)"
         + ((($live.metadata.finalizers // []) + ($live.spec.finalizers? // [])) | if length > 0 then ", and waits for \(join(", "))" else "" end)
       else "" end)' >"$WORK/compared"
  # shellcheck disable=SC2034 # for the caller
  { IFS= read -r DIFFERS && IFS= read -r GOING; } <"$WORK/compared" || die 65 'comparing an object: no answer'
}
