#!/bin/sh
# content.sh is sourced by dumps, and by what fetches a copy, after common.sh: what makes
# a copy whole, and how it is told.
. "$HOLDFAST_ROOT/bin/losses.sh"

# Every copy ends with a trailer: a line of JSON, which the source's own tools take
# for a comment, or do not read any more. A copy without it was cut. It has the
# unit, what was counted, the bytes before the line, and the accepted losses. Copies
# of before there were losses have none in it.
#
# Whoever restores gets the copy without it.
TRAILER_MAX=1048576

# trailer COUNT BYTES [COMMENT], on stdout: a line break, which is none of the bytes,
# and the line. COMMENT is how the format begins a comment, "# " if it is not said;
# JSON has none, so "" makes the line a document of its own. A unit's id needs no
# quoting.
trailer() {
  trailer_open="${3-# }holdfast: " trailer_close='}'
  if [ -z "${3-# }" ]; then
    trailer_open='{"holdfast": ' trailer_close='}}'
  fi
  printf '\n%s{"unit":"%s","count":%s,"bytes":%s,"losses":[' "$trailer_open" "$HOLDFAST_UNIT" "$1" "$2"
  # shellcheck disable=SC2016 # awk's own variables
  sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' "$WORK/lacks" |
    awk -F '\t' '{ printf "%s{\"loss\":\"%s\",\"item\":\"%s\",\"why\":\"%s\"}", (NR > 1 ? "," : ""), $1, $2, $3 }'
  printf ']%s\n' "$trailer_close"
}

# read_trailer FILE [SIZE]: sets COPY_COUNT, COPY_BYTES and TRAILER_BYTES, and writes
# the losses into $WORK/copy.losses, as the dump had them; dies where the copy was cut.
# SIZE is the copy's, where the file has its end alone.
read_trailer() {
  read_size=${2:-$(file_size "$1")}
  tail -c "$((TRAILER_MAX + 2))" <"$1" | tail -n 1 >"$WORK/trailer" || die 73 'scratch cannot be written'
  sed -nE 's/^.*holdfast("|): \{"unit":"[^"]*","count":([0-9]+),"bytes":([0-9]+)(,"losses":\[.*\])?\}+$/\2 \3/p' "$WORK/trailer" >"$WORK/counted"
  # shellcheck disable=SC2034 # for the caller
  read -r COPY_COUNT COPY_BYTES <"$WORK/counted" || die 65 'the copy was cut: it has no trailer at its end'
  TRAILER_BYTES=$(($(file_size "$WORK/trailer") + 1))
  [ "$((COPY_BYTES + TRAILER_BYTES))" -eq "$read_size" ] ||
    die 65 "the copy was changed: it has $((read_size - TRAILER_BYTES)) bytes, and its trailer says $COPY_BYTES"
  # A quote inside a text has a backslash before it, so none of these is part of one.
  sed -nE 's/^.*"bytes":[0-9]+,"losses":\[\{"loss":"(.*)"\}\]\}+$/\1/p' "$WORK/trailer" |
    sed -e 's/"},{"loss":"/\
/g' | sed -e "s/\",\"item\":\"/$TAB/" -e "s/\",\"why\":\"/$TAB/" -e 's/\\\(["\\]\)/\1/g' >"$WORK/copy.losses" || die 73 'scratch cannot be written'
}

# has_marker FILE: whether the marker stands near the file's start, or its end
# before the trailer. The middle is not searched: it may be huge, and it is
# somebody's data.
has_marker() {
  [ -n "$HOLDFAST_MARKER" ] || return 0
  one_line HOLDFAST_MARKER "$HOLDFAST_MARKER"
  { head -c 65536 <"$1" && echo && tail -c "$((65536 + TRAILER_BYTES))" <"$1"; } >"$WORK/ends" || die 73 'scratch cannot be written'
  tr '\000' '\n' <"$WORK/ends" >"$WORK/ends.text" || die 73 'scratch cannot be written'
  grep -qF -e "$HOLDFAST_MARKER" -- "$WORK/ends.text"
}
TRAILER_BYTES=0

# check_content FILE COUNT: the floors and the marker. An empty copy that is
# allowed needs no floors, but still a byte and its marker.
check_content() {
  content_size=$(file_size "$1")
  has_marker "$1" || {
    [ "$content_size" -gt 0 ] || die 65 'the copy has no byte'
    die 65 "the copy lacks its marker, \"$HOLDFAST_MARKER\""
  }
  check_size "$content_size" "$2"
}

# check_size BYTES COUNT: the floors.
check_size() {
  number 'the count' "$2"
  [ "$1" -gt 0 ] || die 65 'the copy has no byte'
  if [ "$2" -eq 0 ] && [ -n "$HOLDFAST_ALLOW_EMPTY" ]; then
    say "empty, which is allowed: $HOLDFAST_ALLOW_EMPTY"
    return 0
  fi
  [ "$2" -ge "$HOLDFAST_MIN_COUNT" ] || die 65 "the copy counts $2, fewer than $HOLDFAST_MIN_COUNT"
  [ "$1" -ge "$HOLDFAST_MIN_BYTES" ] || die 65 "the copy has $1 bytes, fewer than $HOLDFAST_MIN_BYTES"
}

# end_copy COUNT BYTES [COMMENT]: the trailer of what was printed, with the settled losses.
end_copy() {
  trailer "$@" >"$WORK/trailer" || die 73 'scratch cannot be written'
  [ "$(file_size "$WORK/trailer")" -le "$TRAILER_MAX" ] || die 65 'there are more losses than the copy can name'
  cat -- "$WORK/trailer" || die 74 'the copy could not be handed over'
  say "$1 counted, $2 bytes"
}

# publish FILE COUNT [COMMENT]: check the copy, then print it.
publish() {
  check_content "$1" "$2"
  settle_losses
  cat -- "$1" || die 74 'the copy could not be handed over'
  end_copy "$2" "$content_size" "${3-# }"
}
