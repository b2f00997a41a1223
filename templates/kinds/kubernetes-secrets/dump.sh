#!/bin/sh
# Writes the Secrets of a namespace as one JSON List, sorted, without what the
# API server adds and without the backup's own credentials. Counts Secrets.
#
#   HOLDFAST_NAMESPACE
#   EXCLUDE_TYPES   types to leave out, one a line
#   EXPECT_NAMES    names that must be there, with data
# shellcheck disable=SC2016 # jq has variables of its own
set -eu
HOLDFAST_ROOT=${HOLDFAST_ROOT:-/holdfast}
# shellcheck source=/dev/null
. "$HOLDFAST_ROOT/bin/common.sh"

require_tools jq kubectl
need HOLDFAST_NAMESPACE
refuse_if_locked

attempt 70 'listing the Secrets' kubectl get --namespace="$HOLDFAST_NAMESPACE" --output=json \
  --selector='app.kubernetes.io/managed-by!=holdfast' secrets >"$WORK/list"
# jq takes nothing at all for fine.
[ -s "$WORK/list" ] || die 65 'kubectl printed no list of Secrets'
hushed 65 'reading the list' jq -S '
  def list($name): ((env[$name] // "") | split("\n") | map(select(test("[^[:space:]]"))));
  list("EXCLUDE_TYPES") as $types
  | { apiVersion: "v1", kind: "List", metadata: {},
      items: (.items
        | map(select(.type as $type | $types | index([$type]) == null)
              # An owner that is not restored with it would have it collected.
              | del(.metadata.uid, .metadata.resourceVersion, .metadata.creationTimestamp,
                    .metadata.managedFields, .metadata.generation, .metadata.selfLink,
                    .metadata.ownerReferences, .metadata.finalizers,
                    .metadata.deletionTimestamp, .metadata.deletionGracePeriodSeconds,
                    .metadata.annotations["kubectl.kubernetes.io/last-applied-configuration"])
              | if .metadata.annotations == {} then del(.metadata.annotations) else . end)
        | sort_by(.metadata.name)) }' "$WORK/list" >"$WORK/dump"
hushed 65 'checking the Secrets' jq -r '
  def list($name): ((env[$name] // "") | split("\n") | map(select(test("[^[:space:]]"))));
  (.items | map({key: .metadata.name, value: ((.data // {}) | length)}) | from_entries) as $have
  | list("EXPECT_NAMES") | unique[]
  | if $have[.] == null then "\(.) is absent" elif $have[.] == 0 then "\(.) holds no data" else empty end
' "$WORK/dump" >"$WORK/wrong"
[ ! -s "$WORK/wrong" ] || die 65 "expected Secrets: $(tr '\n' ';' <"$WORK/wrong")"
hushed 65 'counting the Secrets' jq '.items | length' "$WORK/dump" >"$WORK/count"
read -r count <"$WORK/count"
# A wrong namespace lists as empty, without an error.
[ "$count" -gt 0 ] || [ -n "$HOLDFAST_ALLOW_EMPTY" ] || die 65 "the namespace $HOLDFAST_NAMESPACE has no Secret to copy"
publish "$WORK/dump" "$count" ''
