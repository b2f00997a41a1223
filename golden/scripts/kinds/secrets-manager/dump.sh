#!/bin/sh
# Writes every secret below a prefix of a Vault-compatible key-value store
# (version 2) as one JSON document, sorted. Counts secrets that have a value.
#
#   SM_ADDRESS SM_MOUNT      https://host, and the mount
#   SM_PREFIX                a folder; "" = the whole mount
#   SM_EXPECT_PATHS          paths in the mount that must have a value, one a line
#   SM_USERNAME SM_PASSWORD  for the userpass method
#   SM_CA_PEM                CA certificates; "" = the image's own
#
# A secret whose latest version was deleted has the latest one that lives, if there
# is one, and else no value. The settings of the mount are in it.
# shellcheck disable=SC2016 # jq has variables of its own
set -eu
HOLDFAST_ROOT=${HOLDFAST_ROOT:-/holdfast}
. "$HOLDFAST_ROOT/bin/common.sh"
. "$HOLDFAST_ROOT/bin/losses.sh"
. "$HOLDFAST_ROOT/bin/content.sh"
. "$HOLDFAST_ROOT/bin/lock.sh"
begin
. "$HOLDFAST_ROOT/bin/vault.sh"

require_tools mv
refuse_if_locked
login

# Paths travel as JSON strings, one a line: they may hold anything.
: >"$WORK/paths"
attempt_silently 64 'reading SM_PREFIX' jq -cn '(env.SM_PREFIX // "") | gsub("^/+|/+$"; "") | if . == "" then . else . + "/" end' >"$WORK/todo"
# The prefix may be a secret as well as a folder.
jq -c 'select(. != "") | rtrimstr("/")' "$WORK/todo" >"$WORK/maybe"
while [ -s "$WORK/todo" ]; do
  : >"$WORK/next"
  while IFS= read -r folder <&4; do
    call GET metadata "$folder" '?list=true'
    case $STATUS in
      200) ;;
      404)
        # An empty folder. Where there is no store, the server says so.
        jq -e '(.errors // []) == []' "$WORK/body" >/dev/null 2>&1 || refused "listing $folder"
        continue
        ;;
      *) refused "listing $folder" ;;
    esac
    printf '%s\n' "$folder" >"$WORK/folder"
    # Without -s jq prints nothing for an empty answer, and succeeds.
    attempt_silently 65 "reading the list of $folder" jq -cs --slurpfile folder "$WORK/folder" \
      '.[0].data.keys | if type == "array" then .[] | $folder[0] + . else error("no list") end' "$WORK/body" >"$WORK/keys"
    grep -v '/"$' "$WORK/keys" >>"$WORK/paths" || [ $? -eq 1 ] || die 73 'scratch is full'
    grep '/"$' "$WORK/keys" >>"$WORK/next" || [ $? -eq 1 ] || die 73 'scratch is full'
  done 4<"$WORK/todo"
  mv -- "$WORK/next" "$WORK/todo"
done

# The settings of the mount: each write obeys them.
call GET config '""' ''
case $STATUS in
  200) attempt_silently 65 'reading the settings of the mount' jq -ce '.data | objects' "$WORK/body" >"$WORK/config" ;;
  403)
    echo null >"$WORK/config" || die 73 'scratch is full'
    loss mount-settings "$SM_MOUNT" 'the account may not read config of the mount: cas_required, max_versions and delete_version_after of it are not in the copy'
    ;;
  *) refused 'reading the settings of the mount' ;;
esac

: >"$WORK/entries"
# living PATH: the latest version that is neither destroyed nor deleted, of those that
# $WORK/metadata tells, as an answer in $WORK/alive, which is empty if there is none.
living() {
  : >"$WORK/alive"
  attempt_silently 65 "reading the versions of $1" jq -r -L "$HOLDFAST_ROOT/bin" \
    'include "settings"; .data.versions | to_entries | map(select(.value | dead | not) | .key | tonumber) | sort | reverse[]' \
    "$WORK/metadata" >"$WORK/versions"
  while IFS= read -r version <&5; do
    call GET data "$1" "?version=$version"
    case $STATUS in
      200)
        mv -- "$WORK/body" "$WORK/alive"
        return 0
        ;;
      404) ;;
      *) refused "reading version $version of $1" ;;
    esac
  done 5<"$WORK/versions"
}
# read_secret PATH OPTIONAL: append it to the entries.
read_secret() {
  call GET metadata "$1" ''
  case $STATUS in
    200) ;;
    404)
      [ "$2" = optional ] && return 0
      die 69 "$1 vanished while it was read"
      ;;
    *) refused "reading the metadata of $1" ;;
  esac
  mv -- "$WORK/body" "$WORK/metadata"
  call GET data "$1" ''
  case $STATUS in
    200 | 404) ;;
    *) refused "reading $1" ;;
  esac
  : >"$WORK/alive"
  if [ "$STATUS" = 404 ] && jq -e '.data.versions | type == "object" and length > 0' "$WORK/metadata" >/dev/null 2>&1; then
    mv -- "$WORK/body" "$WORK/latest"
    living "$1"
    mv -- "$WORK/latest" "$WORK/body"
    STATUS=404
  fi
  printf '%s\n' "$1" >"$WORK/path"
  attempt_silently 65 "checking $1 (neither a value nor a deleted one)" jq -cs --slurpfile path "$WORK/path" --slurpfile metadata "$WORK/metadata" \
    --slurpfile alive "$WORK/alive" --arg status "$STATUS" \
    -f "$HOLDFAST_ROOT/bin/entry.jq" "$WORK/body" >>"$WORK/entries"
}
while IFS= read -r path <&4; do
  read_secret "$path" required
done 4<"$WORK/paths"
while IFS= read -r path <&4; do
  read_secret "$path" optional
done 4<"$WORK/maybe"

attempt_silently 65 'sorting the secrets' jq -S -s --slurpfile config "$WORK/config" \
  -f "$HOLDFAST_ROOT/bin/dump.jq" "$WORK/entries" >"$WORK/dump"
attempt_silently 65 'checking the secrets' jq -r -f "$HOLDFAST_ROOT/bin/expected.jq" "$WORK/dump" >"$WORK/wrong"
[ ! -s "$WORK/wrong" ] || die 65 "expected secrets: $(tr '\n' ';' <"$WORK/wrong")"
attempt_silently 65 'counting the secrets' jq .count "$WORK/dump" >"$WORK/count"
read -r count <"$WORK/count"
[ "$count" -gt 0 ] || [ -n "$HOLDFAST_ALLOW_EMPTY" ] || die 65 'there is no secret: a wrong mount or prefix, or no right to list'
publish "$WORK/dump" "$count" ''
