#!/bin/sh
# Applies the objects of a dump, what others need first. An object that exists
# stays as it is, unless HOLDFAST_OVERWRITE is "yes". Each is reported.
#
#   HOLDFAST_NAMESPACE   where they go
#   HOLDFAST_INPUT       the dump
#   HOLDFAST_ONLY        "Kind/name", one a line: only these
#   HOLDFAST_OVERWRITE   "yes": apply over objects that exist
#   HOLDFAST_DRY_RUN     "yes": let the API server check everything, change nothing
#
# Left out: what another object controls, what Holdfast, K8up and Kubernetes make
# themselves, and what would start work at once (Jobs, K8up's own runs), unless
# HOLDFAST_ONLY names it.
# shellcheck disable=SC2016 # jq has variables of its own
set -eu
HOLDFAST_ROOT=${HOLDFAST_ROOT:-/holdfast}
. "$HOLDFAST_ROOT/bin/common.sh"
. "$HOLDFAST_ROOT/bin/missing.sh"
. "$HOLDFAST_ROOT/bin/objects.sh"
begin

require_tools jq kubectl mv
need HOLDFAST_NAMESPACE
INPUT=${HOLDFAST_INPUT:-$HOLDFAST_SCRATCH/input}
[ -f "$INPUT" ] || die 64 "$INPUT is absent"

unpack_list "$INPUT" '
  ((env.HOLDFAST_ONLY // "") | split("\n") | map(select(test("[^[:space:]]")))) as $only
  | def controlled: any(.metadata.ownerReferences[]?; .controller == true);
    def automatic:
      (.metadata.labels["app.kubernetes.io/managed-by"]? == "holdfast")
      or (.metadata.labels["k8up.io/preBackupPod"]? != null)
      or (.kind == "RoleBinding" and .roleRef.name == "k8up-executor")
      or (.kind == "ConfigMap" and (.metadata.name | IN("kube-root-ca.crt", "istio-ca-root-cert", "openshift-service-ca.crt")))
      or (.kind == "ServiceAccount" and (.metadata.name | IN("default", "pod-executor")));
    def working:
      (.kind | IN("Pod", "ReplicaSet", "Endpoints", "EndpointSlice", "Event", "Lease", "ControllerRevision", "Job"))
      or (.apiVersion | startswith("k8up.io/")) and (.kind | IN("Backup", "Check", "Prune", "Restore", "Archive", "Snapshot"));
    def rank($kind):
      (["ResourceQuota", "LimitRange", "ServiceAccount", "Role", "RoleBinding", "ConfigMap", "NetworkPolicy",
        "PersistentVolumeClaim", "Service", "SecretStore", "Issuer", "ExternalSecret", "Certificate"]
       | index([$kind])) as $first
      | (["PodDisruptionBudget", "DaemonSet", "StatefulSet", "Deployment", "HorizontalPodAutoscaler", "CronJob",
          "Job", "Ingress", "HTTPRoute"] | index([$kind])) as $last
      | if $first != null then $first elif $last != null then 200 + $last else 100 end;
    def clean:
      del(.status, .metadata.uid, .metadata.resourceVersion, .metadata.creationTimestamp, .metadata.managedFields,
          .metadata.generation, .metadata.selfLink, .metadata.ownerReferences, .metadata.finalizers,
          .metadata.deletionTimestamp, .metadata.deletionGracePeriodSeconds,
          .metadata.annotations["deployment.kubernetes.io/revision"])
      | .metadata.namespace = env.HOLDFAST_NAMESPACE
      | if .kind == "Service" and .spec.clusterIP? != "None" then del(.spec.clusterIP, .spec.clusterIPs) else . end
      | if .kind == "Service" then del(.spec.healthCheckNodePort) | (.spec.ports[]? |= del(.nodePort)) else . end
      | if .kind == "PersistentVolumeClaim" then
          del(.spec.volumeName)
          | .metadata.annotations |= ((. // {}) | with_entries(select(.key
              | test("^(pv\\.kubernetes\\.io|volume\\.kubernetes\\.io|volume\\.beta\\.kubernetes\\.io)/") | not)))
        else . end
      | if .kind == "Job" then
          del(.spec.selector, .spec.template.metadata.labels["controller-uid"],
              .spec.template.metadata.labels["batch.kubernetes.io/controller-uid"],
              .metadata.labels["controller-uid"], .metadata.labels["batch.kubernetes.io/controller-uid"])
        else . end
      | if .metadata.annotations == {} or .metadata.annotations == null then del(.metadata.annotations) else . end;
  "\(.kind)/\(.metadata.name)" as $id
  | if ($only | length) > 0 then select($only | index([$id]) != null) else select((controlled or automatic) | not) end
  # Said at the end: they are in the copy, and do not come back by themselves.
  | if ($only | length) == 0 and working then [-1, $id, {}] else [rank(.kind), $id, clean] end'
applied=0 same=0 broken=0
if [ ! -s "$WORK/order" ] && [ ! -s "$WORK/aside" ]; then
  if [ -z "$HOLDFAST_ALLOW_EMPTY" ] || [ -n "$(lines "${HOLDFAST_ONLY:-}")" ]; then
    die 65 'the dump holds none of these objects'
  fi
  say "empty, which is allowed: $HOLDFAST_ALLOW_EMPTY"
fi

# refused ID: one object that cannot be written, such as one of a missing CRD, does
# not stop the others.
refused() {
  say "$1: failed"
  masked "$WORK/stderr" >&2
  missing "$1" 'the API server refused it'
  broken=$((broken + 1))
}

while read -r file id <&3; do
  ! left_out "$id" || continue
  item=$WORK/objects/$file.json
  mv -- "$WORK/objects/$file" "$item" || die 73 'scratch cannot be written'
  if ! bounded kubectl get --ignore-not-found --output=json --filename="$item" >"$WORK/live" 2>"$WORK/stderr"; then
    refused "$id"
    continue
  fi
  set --
  if [ -s "$WORK/live" ]; then
    compare_object "$WORK/live" "$item"
    if [ -n "$GOING" ]; then
      say "$id: is being deleted, not restored"
      missing "$id" "$GOING: let it go, then restore again"
      continue
    fi
    if [ "${HOLDFAST_OVERWRITE:-no}" != yes ]; then
      if [ -z "$DIFFERS" ]; then
        say "$id: exists, the same"
        same=$((same + 1))
        continue
      fi
      say "$id: exists, differs, kept"
      missing "$id" "what is there differs in $DIFFERS: HOLDFAST_OVERWRITE=yes replaces it"
      continue
    fi
    set -- --force-conflicts
  fi
  [ "${HOLDFAST_DRY_RUN:-no}" != yes ] || set -- "$@" --dry-run=server
  if bounded kubectl apply --server-side --field-manager=holdfast "$@" --output=json --filename="$item" >"$WORK/out" 2>"$WORK/stderr"; then
    # A server that knows less fields, or something between, may have changed it.
    compare_object "$WORK/out" "$item"
    say "$id: applied"
    applied=$((applied + 1))
    [ -z "$DIFFERS" ] || missing "$id" "it was applied, and what came of it differs in $DIFFERS"
  else
    refused "$id"
  fi
  rm -f -- "$item"
done 3<"$WORK/order"
[ ! -s "$WORK/aside" ] || say "not started again, for HOLDFAST_ONLY does not name them: $(tr '\n' ' ' <"$WORK/aside")"
say "$applied applied, $same the same, $broken failed"
if [ "$broken" -gt 0 ]; then
  # In a shell of its own, for it exits.
  (settle_missing) || :
  die 70 "$broken objects could not be restored"
fi
settle_missing
