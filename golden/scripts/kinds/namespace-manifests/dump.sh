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
. "$HOLDFAST_ROOT/bin/common.sh"
. "$HOLDFAST_ROOT/bin/content.sh"
. "$HOLDFAST_ROOT/bin/export.sh"
. "$HOLDFAST_ROOT/bin/lock.sh"
begin

require_tools cp jq kubectl mv
need HOLDFAST_NAMESPACE RESOURCES
# It becomes part of a path; names that could change it do not exist.
case $HOLDFAST_NAMESPACE in
  *[!a-z0-9.-]* | [!a-z0-9]*) die 64 'HOLDFAST_NAMESPACE is no name' ;;
esac
refuse_if_locked

# A line of each object: whether it counts, its kind, how many keys a ConfigMap has,
# its name. What Kubernetes, K8up and Holdfast make themselves is in every namespace:
# its own dump pod is there whenever this runs.
export_objects "$RESOURCES" "--namespace=$HOLDFAST_NAMESPACE" \
  '"\(if controlled or automatic then "-" else "+" end) \(.kind) \(((.data? // {}) | length) + ((.binaryData? // {}) | length)) \(.metadata.name)"'
lines "${CONFIG_MAPS:-}" >"$WORK/expected"
awk '
  pass == 1 { if ($2 == "ConfigMap") have[$4] = $3; next }
  told[$0]++ { next }
  !($0 in have) { print $0 " is absent"; next }
  have[$0] == 0 { print $0 " holds no data" }' pass=1 "$WORK/index" pass=2 "$WORK/expected" >"$WORK/wrong" || die 69 'awk failed'
[ ! -s "$WORK/wrong" ] || die 65 "expected ConfigMaps: $(tr '\n' ';' <"$WORK/wrong")"
count=$(count_lines '^[+]' "$WORK/index")
[ "$count" -gt 0 ] || [ -n "$HOLDFAST_ALLOW_EMPTY" ] || die 65 "the namespace $HOLDFAST_NAMESPACE has no object to copy"
publish "$WORK/dump" "$count" ''
