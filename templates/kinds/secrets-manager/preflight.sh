#!/bin/sh
# Tries what dump.sh and restore.sh of a key-value store need: the login, and the
# right to list the paths.
#
#   SM_…   as for dump.sh
set -eu
HOLDFAST_ROOT=${HOLDFAST_ROOT:-/holdfast}
. "$HOLDFAST_ROOT/bin/common.sh"
. "$HOLDFAST_ROOT/bin/losses.sh"
. "$HOLDFAST_ROOT/preflight/checks.sh"
begin

. "$HOLDFAST_ROOT/bin/vault.sh"

listing() {
  login
  jq -n 'env.SM_PREFIX // "" | gsub("^/+|/+$"; "")' >"$WORK/prefix"
  # A store may be empty (404); the mount and the right to list are there then.
  call LIST metadata "$(cat "$WORK/prefix")" ''
  [ "$STATUS" = 200 ] || [ "$STATUS" = 404 ] || refused 'listing the paths'
}

settings() {
  login
  call GET config '""' ''
  [ "$STATUS" != 403 ] || ! accepted mount-settings "$SM_MOUNT" || return 0
  [ "$STATUS" = 200 ] || refused 'reading the settings of the mount'
}

if check login 'compare the user in the credentials with the one of the store' login; then
  check list 'give its policy "list" on the metadata of the mount; is the mount right?' listing || :
  check mount-settings 'give its policy "read" on config of the mount, or accept the loss mount-settings' settings || :
fi
