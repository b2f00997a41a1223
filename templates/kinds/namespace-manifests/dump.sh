#!/bin/sh
# Writes the objects of a namespace as one JSON List. Counts objects, without
# those that are in every namespace.
#
#   HOLDFAST_NAMESPACE
#   RESOURCES     what to copy, one a line: "configmaps", "deployments.apps",
#                 "configmaps/one-name"
#   CONFIG_MAPS   ConfigMaps that must be there, with data
#
# An API that is absent or does not answer is listed under "skipped" and does
# not stop the rest. A missing right does.
# shellcheck disable=SC2016 # jq has variables of its own
set -eu
HOLDFAST_ROOT=${HOLDFAST_ROOT:-/holdfast}
# shellcheck source=/dev/null
. "$HOLDFAST_ROOT/bin/common.sh"

require_tools cp jq kubectl mv
need HOLDFAST_NAMESPACE RESOURCES
refuse_if_locked

export_objects "$RESOURCES" "--namespace=$HOLDFAST_NAMESPACE"
attempt 65 'sorting the objects' jq -S -n --slurpfile items "$WORK/items" --slurpfile skipped "$WORK/skipped" '
  { apiVersion: "v1", kind: "List", metadata: {}, skipped: $skipped,
    items: ($items
      | map(del(.metadata.managedFields, .metadata.resourceVersion, .metadata.selfLink,
                .metadata.annotations["kubectl.kubernetes.io/last-applied-configuration"]))
      | sort_by([.apiVersion, .kind, .metadata.name])) }' >"$WORK/dump"
attempt 65 'checking the ConfigMaps' jq -r '
  (.items | map(select(.kind == "ConfigMap")
                | {key: .metadata.name, value: (((.data // {}) | length) + ((.binaryData // {}) | length))})
   | from_entries) as $have
  | (env.CONFIG_MAPS // "") | split("\n") | map(select(test("[^[:space:]]"))) | unique[]
  | if $have[.] == null then "\(.) is absent" elif $have[.] == 0 then "\(.) holds no data" else empty end
' "$WORK/dump" >"$WORK/wrong"
[ ! -s "$WORK/wrong" ] || die 65 "expected ConfigMaps: $(tr '\n' ';' <"$WORK/wrong")"
# What Kubernetes, K8up and Holdfast make themselves is in every namespace: its
# own dump pod is there whenever this runs.
attempt 65 'counting the objects' jq '
  def controlled: any(.metadata.ownerReferences[]?; .controller == true);
  def automatic:
    (.metadata.labels["app.kubernetes.io/managed-by"]? == "holdfast")
    or (.metadata.labels["k8up.io/preBackupPod"]? != null)
    or (.kind == "RoleBinding" and .roleRef.name == "k8up-executor")
    or (.kind == "ConfigMap" and .metadata.name == "kube-root-ca.crt")
    or (.kind == "ServiceAccount" and (.metadata.name | IN("default", "pod-executor")));
  .items | map(select((controlled or automatic) | not)) | length' "$WORK/dump" >"$WORK/count"
read -r count <"$WORK/count"
[ "$count" -gt 0 ] || [ -n "$HOLDFAST_ALLOW_EMPTY" ] || die 65 "the namespace $HOLDFAST_NAMESPACE has no object to copy"
publish "$WORK/dump" "$count" ''
