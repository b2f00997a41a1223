#!/bin/sh
# Writes the secrets of a dump back, each as a new version, with the settings of its
# path, and those of the mount. One whose value is another and newer stays, unless
# HOLDFAST_OVERWRITE is "yes". Each is reported; what is refused does not stop the
# others.
#
#   HOLDFAST_INPUT       the dump
#   SM_ADDRESS SM_MOUNT SM_USERNAME SM_PASSWORD SM_CA_PEM  as for dump.sh; the
#                        mount may be another than that of the dump, and the user
#                        must be allowed to write
#   HOLDFAST_ONLY        paths, one a line: only these, and not the mount's settings
#   HOLDFAST_LEAVE_OUT   paths that are not to be tried
#   HOLDFAST_OVERWRITE   "yes": write over values that are newer than the dump's
# shellcheck disable=SC2016 # jq has variables of its own
set -eu
HOLDFAST_ROOT=${HOLDFAST_ROOT:-/holdfast}
. "$HOLDFAST_ROOT/bin/common.sh"
. "$HOLDFAST_ROOT/bin/missing.sh"
begin
. "$HOLDFAST_ROOT/bin/vault.sh"

require_tools mv

INPUT=${HOLDFAST_INPUT:-$HOLDFAST_SCRATCH/input}
[ -f "$INPUT" ] || die 64 "$INPUT is absent"
attempt_silently 65 'reading the dump' jq -c -f "$HOLDFAST_ROOT/bin/chosen.jq" "$INPUT" >"$WORK/entries"
if [ ! -s "$WORK/entries" ]; then
  if [ -z "$HOLDFAST_ALLOW_EMPTY" ] || [ -n "${HOLDFAST_ONLY:-}" ]; then
    die 65 'the dump holds none of these secrets'
  fi
  say "the dump is empty, which is allowed: $HOLDFAST_ALLOW_EMPTY"
  exit 0
fi
login

# not_back WHAT: notes that the path is missing, for the answer that came.
not_back() {
  not_back_why=$(jq -r '[.errors[]? | strings] | join("; ")' "$WORK/body" 2>/dev/null) || not_back_why=
  missing "$path" "$1: HTTP $STATUS${not_back_why:+, $not_back_why}"
}

# mount_settings: those of the dump, where the mount has others. They come first, for
# each write obeys them. Others than a new mount's are somebody's.
mount_settings() {
  path='the settings of the mount'
  attempt_silently 65 'reading the dump' jq -c '.config // empty' "$INPUT" >"$WORK/config"
  if [ ! -s "$WORK/config" ]; then
    say "$path are not in the copy"
    return 0
  fi
  call GET config '""' ''
  [ "$STATUS" = 200 ] || { not_back 'reading them'; return 0; }
  attempt_silently 65 "comparing $path" jq -r --slurpfile copy "$WORK/config" -L "$HOLDFAST_ROOT/bin" \
    -f "$HOLDFAST_ROOT/bin/compare-mount.jq" "$WORK/body" >"$WORK/verdict"
  read -r verdict <"$WORK/verdict"
  case $verdict in
    same) return 0 ;;
    own)
      say "$path are others than the dump's, which are those of a new mount: kept"
      return 0
      ;;
    other)
      if [ "${HOLDFAST_OVERWRITE:-no}" != yes ]; then
        say "$path are others than the dump's: kept"
        missing "$path" 'others are there; set HOLDFAST_OVERWRITE=yes to write over them'
        return 0
      fi
      ;;
  esac
  attempt_silently 65 "reading $path" jq -c -L "$HOLDFAST_ROOT/bin" \
    'include "settings"; settings | del(.custom_metadata)' "$WORK/config" >"$WORK/request"
  call POST config '""' '' "$WORK/request"
  case $STATUS in
    200 | 204) say "$path: written" ;;
    *) not_back 'writing them' ;;
  esac
}
[ -n "${HOLDFAST_ONLY:-}" ] || mount_settings

# compare_entry: sets VERDICT of the value, and SETTLED, whether the settings are the same.
# What is there is in $WORK/body, or its latest living version if the latest was
# deleted, and its metadata in $WORK/there.
compare_entry() {
  call GET metadata "$path" ''
  case $STATUS in
    200 | 404) ;;
    *) return 1 ;;
  esac
  [ "$STATUS" = 200 ] || echo '{}' >"$WORK/body"
  mv -- "$WORK/body" "$WORK/there"
  call GET data "$path" ''
  case $STATUS in
    200) dead=false ;;
    404) dead=true ;;
    *) return 1 ;;
  esac
  if [ "$dead" = true ] && [ "$gone" = true ]; then
    # What was deleted in the copy may be just so here.
    attempt_silently 65 "comparing $path" jq -r --slurpfile there "$WORK/there" -L "$HOLDFAST_ROOT/bin" \
      'include "settings"; $there[0].data.versions // {} | to_entries | map(select(.value | dead | not) | .key | tonumber) | max // empty' \
      "$WORK/entry" >"$WORK/versions"
    if read -r version <"$WORK/versions"; then
      call GET data "$path" "?version=$version"
      [ "$STATUS" = 200 ] || echo '{}' >"$WORK/body"
    fi
  fi
  attempt_silently 65 "comparing $path" jq -r --slurpfile entry "$WORK/entry" --slurpfile there "$WORK/there" --arg dead "$dead" \
    -L "$HOLDFAST_ROOT/bin" -f "$HOLDFAST_ROOT/bin/compare-entry.jq" "$WORK/body" >"$WORK/verdict"
  read -r VERDICT SETTLED <"$WORK/verdict"
}

# bring_back: the secret of $WORK/entry; gone says that its latest version is a deleted
# one, valued that the copy has a value. Its settings come first, for a write obeys them.
bring_back() {
  compare_entry || { not_back 'reading it'; return 0; }
  if [ "$VERDICT $SETTLED" = 'same same' ]; then
    say "$path: the same already"
    same=$((same + 1))
    return 0
  fi
  if [ "${HOLDFAST_OVERWRITE:-no}" != yes ]; then
    case $VERDICT,$SETTLED in
      newer,*)
        say "$path: another value, newer than the dump's: kept"
        missing "$path" 'another value is there, newer than the copy; set HOLDFAST_OVERWRITE=yes to write over newer values'
        kept=$((kept + 1))
        return 0
        ;;
      same,newer)
        say "$path: other settings, newer than the dump's: kept"
        missing "$path" 'other settings are there, newer than the copy; set HOLDFAST_OVERWRITE=yes to write over newer ones'
        kept=$((kept + 1))
        return 0
        ;;
    esac
  fi
  # A path without a value exists by its settings, even if they are those of any.
  if [ "$SETTLED" != same ] || [ "$valued" = false ]; then
    attempt_silently 65 "reading $path" jq -c -L "$HOLDFAST_ROOT/bin" \
      'include "settings"; .value.metadata | settings' "$WORK/entry" >"$WORK/request"
    call POST metadata "$path" '' "$WORK/request"
    case $STATUS in
      200 | 204) ;;
      *) not_back 'writing its settings'; return 0 ;;
    esac
  fi
  if [ "$VERDICT" != same ] && [ "$valued" = true ]; then
    # Only over the version that was compared: nobody else's write gets lost. Some
    # stores take no write without that.
    attempt_silently 65 "reading $path" jq -c --slurpfile entry "$WORK/entry" \
      '{options: {cas: (.data.current_version // 0)}, data: $entry[0].value.data}' "$WORK/there" >"$WORK/request"
    call POST data "$path" '' "$WORK/request"
    case $STATUS in
      200 | 204) ;;
      *) not_back 'writing it'; return 0 ;;
    esac
    if [ "$gone" = true ]; then
      # The latest version is a deleted one, and the one before it lives.
      attempt_silently 65 "reading $path" jq -c --slurpfile entry "$WORK/entry" '{options: {cas: .data.version}, data: $entry[0].value.data}' "$WORK/body" >"$WORK/request"
      call POST data "$path" '' "$WORK/request"
      case $STATUS in
        200 | 204) ;;
        *) not_back 'writing it'; return 0 ;;
      esac
      attempt_silently 65 "reading $path" jq -c '{versions: [.data.version]}' "$WORK/body" >"$WORK/request"
      call POST delete "$path" '' "$WORK/request"
      case $STATUS in
        200 | 204) ;;
        *) not_back 'it is deleted in the copy, and alive here: deleting it'; return 0 ;;
      esac
    fi
  fi
  before=$VERDICT
  compare_entry || { not_back 'reading it again'; return 0; }
  if [ "$VERDICT $SETTLED" != 'same same' ]; then
    missing "$path" 'it reads otherwise than it was written'
    return 0
  fi
  say "$path: written ($before before)"
  written=$((written + 1))
}

written=0 same=0 kept=0
while IFS= read -r entry <&4; do
  printf '%s\n' "$entry" >"$WORK/entry" || die 73 'scratch is full'
  attempt_silently 65 'reading the dump' jq -r '(.key | tojson), (.value | .deleted == true and has("data"), has("data"))' "$WORK/entry" >"$WORK/path"
  { IFS= read -r path && read -r gone && read -r valued; } <"$WORK/path"
  [ -z "$HOLDFAST_LEAVE_OUT" ] || ! left_out "$(jq -r .key "$WORK/entry")" || continue
  bring_back
done 4<"$WORK/entries"
rm -f -- "$WORK/request" "$WORK/entry" "$WORK/body" "$WORK/there"
say "$written written, $same the same, $kept kept"
settle_missing
