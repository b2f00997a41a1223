# Two lines: the fields of $copy that $live has not the same, and what is known of one that
# is being deleted. See compare_object of objects.sh.
include "objects";
def foreign: test("^((kubectl|deployment|control-plane\\.alpha|autoscaling\\.alpha|pv|volume|volume\\.beta|endpoints|batch)\\.kubernetes\\.io"
  + "|reconcile\\.fluxcd\\.io|kustomize\\.toolkit\\.fluxcd\\.io|meta\\.helm\\.sh|field\\.cattle\\.io)/|^deprecated\\.daemonset\\.template\\.generation$");
def said:
  own
  | del(.apiVersion, .kind, .status, .metadata.name, .metadata.namespace, .metadata.generateName)
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
   else "" end)
