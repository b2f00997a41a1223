#!/bin/sh
# Writes the cluster-scoped objects as one JSON List, with the server's version:
# a forensic record of a control plane that its provider manages. Counts objects.
#
#   RESOURCES          what to copy, one a line: "nodes", "storageclasses.storage.k8s.io"
#   EXPECT_NAMESPACE   a namespace that must be among them
# shellcheck disable=SC2016 # jq has variables of its own
set -eu
HOLDFAST_ROOT=${HOLDFAST_ROOT:-/holdfast}
. "$HOLDFAST_ROOT/bin/common.sh"
. "$HOLDFAST_ROOT/bin/content.sh"
. "$HOLDFAST_ROOT/bin/export.sh"
. "$HOLDFAST_ROOT/bin/lock.sh"
begin

require_tools cp jq kubectl mv
need RESOURCES EXPECT_NAMESPACE
refuse_if_locked

attempt 70 "asking for the server's version" kubectl get --raw /version >"$WORK/version"
attempt 65 "reading the server's version" jq -c . "$WORK/version" >"$WORK/version.line"
server_version=$(cat -- "$WORK/version.line")
# A line of each object: kind, whether it is bound, name.
export_objects "$RESOURCES" --all-namespaces \
  '"\(.kind) \(if .status.phase? == "Bound" then "bound" else "-" end) \(.metadata.name)"' "{serverVersion: ${server_version:-null}}"
lines "$RESOURCES" >"$WORK/asked"
case $server_version in
  *'"gitVersion":"'*) ;;
  *) echo 'no version of the server' ;;
esac >"$WORK/wrong"
awk '
  pass == 1 { count[$1]++; if ($2 == "bound") bound[$1]++; have[$1 "/" $3] = 1; next }
  { asked[$0] = 1 }
  END {
    if (!count["Node"]) print "no node"
    if (!(("Namespace/" ENVIRON["EXPECT_NAMESPACE"]) in have)) print "no namespace " ENVIRON["EXPECT_NAMESPACE"]
    if ("customresourcedefinitions.apiextensions.k8s.io" in asked && !("CustomResourceDefinition/schedules.k8up.io" in have))
      print "no CRD schedules.k8up.io"
    if ("persistentvolumes" in asked && count["PersistentVolume"] + 0 < bound["PersistentVolumeClaim"] + 0)
      print "fewer volumes than bound claims"
  }' pass=1 "$WORK/index" pass=2 "$WORK/asked" >>"$WORK/wrong" || die 69 'awk failed'
[ ! -s "$WORK/wrong" ] || die 65 "this is no whole export: $(tr '\n' ';' <"$WORK/wrong")"
count=$(count_lines '' "$WORK/index")
publish "$WORK/dump" "$count" ''
