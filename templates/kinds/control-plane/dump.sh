#!/bin/sh
# Writes the cluster-scoped objects as one JSON List, with the server's version:
# a forensic record of a control plane that its provider manages. Counts objects.
#
#   RESOURCES          what to copy, one a line: "nodes", "storageclasses.storage.k8s.io"
#   EXPECT_NAMESPACE   a namespace that must be among them
# shellcheck disable=SC2016 # jq has variables of its own
set -eu
HOLDFAST_ROOT=${HOLDFAST_ROOT:-/holdfast}
# shellcheck source=/dev/null
. "$HOLDFAST_ROOT/bin/common.sh"

require_tools cp jq kubectl mv
need RESOURCES EXPECT_NAMESPACE
refuse_if_locked

attempt 70 "asking for the server's version" kubectl get --raw /version >"$WORK/version"
export_objects "$RESOURCES" --all-namespaces
attempt 65 'sorting the objects' jq -S -n --slurpfile items "$WORK/items" --slurpfile skipped "$WORK/skipped" \
  --slurpfile version "$WORK/version" '
  { apiVersion: "v1", kind: "List", metadata: {}, skipped: $skipped, serverVersion: $version[0],
    items: ($items
      | map(del(.metadata.managedFields, .metadata.resourceVersion, .metadata.selfLink,
                .metadata.annotations["kubectl.kubernetes.io/last-applied-configuration"]))
      | sort_by([.apiVersion, .kind, .metadata.namespace // "", .metadata.name])) }' >"$WORK/dump"
attempt 65 'checking the objects' jq -r '
  def of($kind): map(select(.kind == $kind));
  (env.RESOURCES | split("\n")) as $asked
  | .serverVersion as $version
  | .items
  | (if $version.gitVersion? == null then "no version of the server" else empty end),
    (if of("Node") | length == 0 then "no node" else empty end),
    (if of("Namespace") | map(.metadata.name) | index([env.EXPECT_NAMESPACE]) == null
     then "no namespace \(env.EXPECT_NAMESPACE)" else empty end),
    (if ($asked | index(["customresourcedefinitions.apiextensions.k8s.io"]) != null)
        and (of("CustomResourceDefinition") | map(.metadata.name) | index(["schedules.k8up.io"]) == null)
     then "no CRD schedules.k8up.io" else empty end),
    (if ($asked | index(["persistentvolumes"]) != null)
        and ((of("PersistentVolume") | length) < (of("PersistentVolumeClaim") | map(select(.status.phase? == "Bound")) | length))
     then "fewer volumes than bound claims" else empty end)' "$WORK/dump" >"$WORK/wrong"
[ ! -s "$WORK/wrong" ] || die 65 "this is no whole export: $(tr '\n' ';' <"$WORK/wrong")"
attempt 65 'counting the objects' jq '.items | length' "$WORK/dump" >"$WORK/count"
read -r count <"$WORK/count"
publish "$WORK/dump" "$count" ''
