#!/bin/sh
# losses.sh is sourced by what tells of losses, after common.sh: the dumps that know
# some, and all that prints a copy.

# A dump knows what its restore, as declared, cannot bring back: an item that is
# not in the copy, or one that the restore must leave out or change. It says so on
# the night it dumps, with one line in $WORK/losses for each item: the loss (a name
# of the kind's kind.json), the item, and why, with tabs between them. What the
# settings do not accept makes the dump fail; what they accept is named in the
# copy's trailer.

# loss NAME ITEM WHY
loss() {
  printf '%s\t%s\t%s\n' "$1" "$(plain_item "$2")" "$(plain_item "$3")" >>"$WORK/losses" || die 73 'scratch cannot be written'
}

# clean_losses: the same for lines that were not written by loss; of those each tab
# and line break is meant.
clean_losses() {
  tr '\000-\010\013-\037\177' '?' <"$WORK/losses" >"$WORK/losses.clean" || die 73 'scratch cannot be written'
  cat -- "$WORK/losses.clean" >"$WORK/losses" || die 73 'scratch cannot be written'
}

# accepted NAME ITEM: whether the settings accept this loss.
accepted() {
  [ -e "$WORK/accepted" ] || lines "$HOLDFAST_LOSSES" >"$WORK/accepted" || die 73 'scratch cannot be written'
  while IFS=' ' read -r accepted_name accepted_items; do
    [ "$accepted_name" = "$1" ] || continue
    ! matches "$2" "$accepted_items" || return 0
  done <"$WORK/accepted"
  return 1
}

# settle_losses: dies unless all are accepted; those are in $WORK/lacks then. Before
# a stream it keeps a copy from being made, and at its end it has the last word.
settle_losses() {
  [ -e "$WORK/losses" ] || : >"$WORK/losses"
  : >"$WORK/lacks"
  : >"$WORK/refused"
  # shellcheck disable=SC2016 # awk's own variables
  awk '!seen[$0]++' "$WORK/losses" >"$WORK/losses.once" || die 73 'scratch cannot be written'
  while IFS=$TAB read -r settle_name settle_item settle_why; do
    if accepted "$settle_name" "$settle_item"; then
      printf '%s\t%s\t%s\n' "$settle_name" "$settle_item" "$settle_why" >>"$WORK/lacks"
    else
      printf '%s: %s: %s\n' "$settle_name" "$settle_item" "$settle_why" >>"$WORK/refused"
    fi
  done <"$WORK/losses.once"
  settle_count=$(count_lines '' "$WORK/refused")
  if [ "$settle_count" -gt 0 ]; then
    say "$settle_count things would not come back from this copy: put them right, or accept them in the settings (losses):"
    listed "$WORK/refused" 100
    exit 65
  fi
  settle_count=$(count_lines '' "$WORK/lacks")
  [ "$settle_count" -eq 0 ] || say "$settle_count things would not come back, which the settings accept; the copy names them"
}
