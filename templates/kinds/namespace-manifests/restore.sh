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
# shellcheck source=/dev/null
. "$HOLDFAST_ROOT/bin/common.sh"

require_tools jq kubectl
need HOLDFAST_NAMESPACE
INPUT=${HOLDFAST_INPUT:-$HOLDFAST_SCRATCH/input}
[ -f "$INPUT" ] || die 64 "$INPUT is absent"

attempt 65 'reading the dump' jq -c -s '
  ((env.HOLDFAST_ONLY // "") | split("\n") | map(select(test("[^[:space:]]")))) as $only
  | def controlled: any(.metadata.ownerReferences[]?; .controller == true);
    def automatic:
      (.metadata.labels["app.kubernetes.io/managed-by"]? == "holdfast")
      or (.metadata.labels["k8up.io/preBackupPod"]? != null)
      or (.kind == "RoleBinding" and .roleRef.name == "k8up-executor")
      or (.kind == "ConfigMap" and .metadata.name == "kube-root-ca.crt")
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
  if length == 1 and .[0].kind == "List" and (.[0].items | type) == "array" then .[0].items else error("this is no List") end
  | map(select("\(.kind)/\(.metadata.name)" as $id
        | if ($only | length) > 0 then $only | index([$id]) != null else true end)
        | select(($only | length) > 0 or ((controlled or automatic or working) | not)))
  | sort_by([rank(.kind), .kind, .metadata.name])[] | clean' "$INPUT" >"$WORK/items"
if [ ! -s "$WORK/items" ]; then
  if [ -z "$HOLDFAST_ALLOW_EMPTY" ] || [ -n "$(lines "${HOLDFAST_ONLY:-}")" ]; then
    die 65 'the dump holds none of these objects'
  fi
  say "empty, which is allowed: $HOLDFAST_ALLOW_EMPTY"
fi

applied=0 kept=0 broken=0
while IFS= read -r item <&3; do
  printf '%s\n' "$item" >"$WORK/item.json" || die 73 'scratch is full'
  attempt 65 'reading the dump' jq -r '"\(.kind)/\(.metadata.name)"' "$WORK/item.json" >"$WORK/id"
  read -r id <"$WORK/id"
  # One object that cannot be written, such as one of a missing CRD, does not
  # stop the others.
  if ! bounded kubectl get --ignore-not-found --output=name --filename="$WORK/item.json" >"$WORK/live" 2>"$WORK/stderr"; then
    say "$id: failed"
    masked "$WORK/stderr" >&2
    broken=$((broken + 1))
    continue
  fi
  set --
  if [ -s "$WORK/live" ]; then
    if [ "${HOLDFAST_OVERWRITE:-no}" != yes ]; then
      say "$id: exists, kept"
      kept=$((kept + 1))
      continue
    fi
    set -- --force-conflicts
  fi
  [ "${HOLDFAST_DRY_RUN:-no}" != yes ] || set -- "$@" --dry-run=server
  if bounded kubectl apply --server-side --field-manager=holdfast "$@" --filename="$WORK/item.json" >"$WORK/out" 2>"$WORK/stderr"; then
    say "$id: applied"
    applied=$((applied + 1))
  else
    say "$id: failed"
    masked "$WORK/stderr" >&2
    broken=$((broken + 1))
  fi
done 3<"$WORK/items"
say "$applied applied, $kept kept, $broken failed"
[ "$broken" -eq 0 ] || die 70 "$broken objects could not be restored"
