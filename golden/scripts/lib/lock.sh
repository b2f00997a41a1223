#!/bin/sh
# lock.sh is sourced by dumps, and by guard.sh, after common.sh: the lock as others see it.

# refuse_if_locked: exit 75 while somebody else holds the unit's or the
# instance's lock. The files may be a minute old: a guard, not a mutex.
refuse_if_locked() {
  for lock_name in unit instance; do
    lock_folder=$HOLDFAST_ROOT/locks/$lock_name
    [ -s "$lock_folder/holder" ] || continue
    lock_holder=$(cat -- "$lock_folder/holder") || die 75 "the $lock_name lock cannot be read"
    lock_until=
    if [ -e "$lock_folder/until" ]; then
      lock_until=$(cat -- "$lock_folder/until") || die 75 "the $lock_name lock cannot be read"
    fi
    live "$lock_holder" "$lock_until" || continue
    die 75 "the $lock_name lock is held by $lock_holder until ${lock_until:-further notice}"
  done
}

# live HOLDER UNTIL: whether a lock with this content is somebody else's and has
# not expired. One without a readable end counts: it was not made by us.
live() {
  [ -n "$1" ] || return 1
  [ "$1" != "${HOLDFAST_HOLDER:-}" ] || return 1
  case $2 in
    '' | *[!0-9]* | ???????????????????*) return 0 ;;
  esac
  [ "$2" -gt "$(date +%s)" ]
}
