#!/bin/sh
# Writes the Secrets of a namespace as one JSON List, sorted, without what the
# API server adds and without the backup's own credentials. Counts Secrets.
#
#   HOLDFAST_NAMESPACE
#   EXCLUDE_TYPES   types to leave out, one a line
#   EXPECT_NAMES    names that must be there, with data
#   HOLDFAST_OWN_SECRETS  names of the backup's own, one a line
# shellcheck disable=SC2016 # jq has variables of its own
set -eu
HOLDFAST_ROOT=${HOLDFAST_ROOT:-/holdfast}
. "$HOLDFAST_ROOT/bin/common.sh"
. "$HOLDFAST_ROOT/bin/content.sh"
. "$HOLDFAST_ROOT/bin/lock.sh"
begin

require_tools jq kubectl
need HOLDFAST_NAMESPACE
# It becomes part of a path; names that could change it do not exist.
case $HOLDFAST_NAMESPACE in
  *[!a-z0-9.-]* | [!a-z0-9]*) die 64 'HOLDFAST_NAMESPACE is no name' ;;
esac
refuse_if_locked

# A few at a time, as the API server sends them: kubectl would hold a whole list
# twice, and jq once more. What is excluded is not even sent.
PAGE=20
# first_request: the path and query of the first page; the others only add where it
# ended.
attempt 64 'reading EXCLUDE_TYPES' jq -nr --arg page "$PAGE" '
  # Both the list and what is compared have characters of their own.
  def without($field): split("\n") | map(select(test("[^[:space:]]")) | $field + "!=" + gsub("(?<c>[\\\\,=])"; "\\\(.c)"));
  ((env.EXCLUDE_TYPES // "" | without("type")) + (env.HOLDFAST_OWN_SECRETS // "" | without("metadata.name")) | join(",")) as $fields
  | "/api/v1/namespaces/\(env.HOLDFAST_NAMESPACE)/secrets?limit=\($page)"
    + "&labelSelector=" + ("app.kubernetes.io/managed-by!=holdfast" | @uri)
    + (if $fields == "" then "" else "&fieldSelector=" + ($fields | @uri) end)' >"$WORK/request"
read -r request <"$WORK/request"

# A List, with one Secret on each line, so that a restore need not read it whole.
# The API server lists them by name.
echo '{"apiVersion":"v1","kind":"List","metadata":{},"items":[' >"$WORK/dump" || die 73 'scratch is full'
: >"$WORK/index"
next=
while :; do
  attempt 70 'listing secrets' kubectl get --raw "$request$next" >"$WORK/page" </dev/null
  # jq takes nothing at all for fine.
  [ -s "$WORK/page" ] || die 70 'listing secrets: kubectl printed no list of Secrets'
  attempt_silently 70 'listing secrets: reading the list' jq -cS -L "$HOLDFAST_ROOT/bin" -f "$HOLDFAST_ROOT/bin/page.jq" "$WORK/page" >"$WORK/part"
  attempt 73 'writing the list' awk -v started="$next" '{ print (NR > 1 || started != "" ? "," : "") $0 }' "$WORK/part" >>"$WORK/dump"
  attempt_silently 70 'listing secrets: reading the list' jq -r '(.items // [])[] | "\(.metadata.name)\t\((.data // {}) | length)"' "$WORK/page" >>"$WORK/index"
  attempt_silently 70 'listing secrets: reading the list' jq -r '.metadata.continue // "" | if . == "" then "" else "&continue=" + @uri end' "$WORK/page" >"$WORK/next"
  read -r next <"$WORK/next"
  [ -n "$next" ] || break
done
echo ']}' >>"$WORK/dump" || die 73 'scratch is full'
rm -f -- "$WORK/page" "$WORK/part"
lines "${EXPECT_NAMES:-}" >"$WORK/expected"
awk -F '\t' '
  pass == 1 { have[$1] = $2; next }
  told[$0]++ { next }
  !($0 in have) { print $0 " is absent"; next }
  have[$0] == 0 { print $0 " holds no data" }' pass=1 "$WORK/index" pass=2 "$WORK/expected" >"$WORK/wrong" || die 69 'awk failed'
[ ! -s "$WORK/wrong" ] || die 65 "expected Secrets: $(tr '\n' ';' <"$WORK/wrong")"
count=$(count_lines '' "$WORK/index")
# A wrong namespace lists as empty, without an error.
[ "$count" -gt 0 ] || [ -n "$HOLDFAST_ALLOW_EMPTY" ] || die 65 "the namespace $HOLDFAST_NAMESPACE has no Secret to copy"
publish "$WORK/dump" "$count" ''
