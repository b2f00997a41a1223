#!/bin/sh
# missing.sh is sourced by restores, after common.sh: what did not come back.

# A restore ends well only if all that is in the copy is there. What one item stops
# does not stop the others: it is noted, and named at the end. What is not to be
# tried is named in the request, and never left out by itself.

# lost NAME ITEM: whether the copy says that it was accepted as a loss, on its night.
lost() {
  lost_list=${HOLDFAST_INPUT:-$HOLDFAST_SCRATCH/input}.losses
  [ -s "$lost_list" ] || return 1
  # shellcheck disable=SC2016 # awk's own variables
  awk -F '\t' '
    BEGIN { name = ARGV[1]; item = ARGV[2]; ARGV[1] = ARGV[2] = "" }
    $1 == name && $2 "" == item "" { found = 1; exit }
    END { exit !found }' "$1" "$(plain_item "$2")" "$lost_list"
}

# left_out ITEM: whether the request leaves it out.
left_out() {
  [ -n "$HOLDFAST_LEAVE_OUT" ] || return 1
  left_item=$(plain_item "$1")
  [ -e "$WORK/leave" ] || lines "$HOLDFAST_LEAVE_OUT" >"$WORK/leave" || die 73 'scratch cannot be written'
  while IFS= read -r left_pattern; do
    if matches "$left_item" "$left_pattern"; then
      printf '%s\n' "$left_item" >>"$WORK/left" || die 73 'scratch cannot be written'
      return 0
    fi
  done <"$WORK/leave"
  return 1
}

# missing ITEM WHY
missing() {
  # There may be hundreds of thousands, so nothing is started for a plain one.
  case $1$2 in
    *[[:cntrl:]]*) printf '%s: %s\n' "$(plain_item "$1")" "$(plain_item "$2")" ;;
    *) printf '%s: %s\n' "$1" "$2" ;;
  esac >>"$WORK/missing" || die 73 'scratch cannot be written'
}

# settle_missing: the end of a restore. It dies if anything did not come back.
settle_missing() {
  if [ -s "$WORK/left" ]; then
    say "$(count_lines '' "$WORK/left") items were left out, as the request says:"
    listed "$WORK/left" 1000
  fi
  [ -s "$WORK/missing" ] || return 0
  say "$(count_lines '' "$WORK/missing") items of the copy did not come back; all others did. Put right what stops them and restore again, or leave them out (HOLDFAST_LEAVE_OUT):"
  listed "$WORK/missing" 1000
  exit 65
}
