#!/bin/sh
# stream.sh is sourced by dumps that print a copy without keeping it, after common.sh.
. "$HOLDFAST_ROOT/bin/content.sh"

# A copy that is streamed passes through two files of this many bytes: while one is
# printed, the next is read. tee would do without, in pieces so small that it takes
# longer than the dump.
STREAM_PIECE=8388608

# stream TAP COMMAND [ARG…]: prints what the command prints, and keeps no copy of
# it. TAP is a function that reads the same on its stdin, as far as it wants.
# STREAM_BYTES is set; both ends are in $WORK/head and $WORK/tail. What was printed is
# no copy before end_stream: who stores it must see us end well, and looks for the
# trailer.
#
#   STREAM_INPUT   what the command reads on stdin; nothing if it is not set
stream() {
  stream_tap=$1
  shift
  mkfifo -- "$WORK/to.tap" || die 73 'scratch cannot be written'
  "$stream_tap" <"$WORK/to.tap" &
  stream_reader=$!
  bounded_tool=$1
  # shellcheck disable=SC2034 # for failed
  bounded_since=$(date +%s)
  stream_written=0
  {
    stream_status=0
    bounded "$@" 2>"$WORK/stderr" <"${STREAM_INPUT:-/dev/null}" || stream_status=$?
    echo "$stream_status" >"$WORK/status"
  } | stream_pieces || stream_written=$?
  stream_read=0
  wait "$stream_reader" || stream_read=$?
  read -r stream_status <"$WORK/status" || stream_status=1
  # A command that lost its reader fails as well; the reader is the reason.
  case $stream_written in
    0) ;;
    74) die 74 'the copy could not be handed over' ;;
    73) die 73 'scratch cannot be written' ;;
    *) die 73 "what $bounded_tool printed could not be passed on: exit code $stream_written" ;;
  esac
  [ "$stream_status" -eq 0 ] || stream_failed "$stream_status"
  [ "$stream_read" -eq 0 ] || die 65 "what $bounded_tool printed cannot be read: it was cut"
  read -r STREAM_BYTES <"$WORK/size" || die 73 'scratch cannot be read'
}

# stream_pieces prints stdin, piece by piece, and gives each to the tap as well.
stream_pieces() {
  exec 6>"$WORK/to.tap"
  stream_number=0
  stream_printer=
  stream_feeder=
  : >"$WORK/piece.1" || exit 73
  : >"$WORK/head" || exit 73
  while :; do
    stream_file=$WORK/piece.$((stream_number % 2))
    dd bs=1048576 count=$((STREAM_PIECE / 1048576)) iflag=fullblock of="$stream_file" 2>"$WORK/records" || {
      cat -- "$WORK/records" >&2
      exit 73
    }
    stream_passed || exit 74
    # "8+0 records in" is a whole piece.
    read -r stream_records _ <"$WORK/records" || exit 73
    [ "$stream_records" != 0+0 ] || break
    [ "$stream_number" -gt 0 ] || head -c 65536 <"$stream_file" >"$WORK/head" || exit 73
    cat -- "$stream_file" &
    stream_printer=$!
    if [ -n "$stream_tap" ]; then
      cat -- "$stream_file" >&6 2>/dev/null &
      stream_feeder=$!
    fi
    [ "$stream_records" = "$((STREAM_PIECE / 1048576))+0" ] || break
    stream_number=$((stream_number + 1))
  done
  exec 6>&-
  stream_passed || exit 74
  # The last piece, which may be empty, is the one that was read last.
  stream_last=$(file_size "$stream_file") || exit 73
  echo "$((stream_number * STREAM_PIECE + stream_last))" >"$WORK/size" || exit 73
  cat -- "$WORK/piece.$(((stream_number + 1) % 2))" "$stream_file" | tail -c 65536 >"$WORK/tail" || exit 73
  rm -f -- "$WORK/piece.0" "$WORK/piece.1"
}

# stream_passed: whether the last piece was printed. A tap that ended has read enough;
# if that was too early, it says so.
stream_passed() {
  stream_status=0
  [ -z "$stream_feeder" ] || wait "$stream_feeder" || stream_tap=
  [ -z "$stream_printer" ] || wait "$stream_printer" || stream_status=$?
  stream_feeder=
  stream_printer=
  return "$stream_status"
}

# stream_failed STATUS dies for the command; a script may define its own.
stream_failed() { failed 69 "$bounded_tool" "$1"; }

# end_stream COUNT [COMMENT]: checks what stream printed, and prints the trailer.
end_stream() {
  if [ -n "$HOLDFAST_MARKER" ]; then
    one_line HOLDFAST_MARKER "$HOLDFAST_MARKER"
    cat -- "$WORK/head" "$WORK/tail" | tr '\000' '\n' >"$WORK/ends.text" || die 73 'scratch cannot be written'
    grep -qF -e "$HOLDFAST_MARKER" -- "$WORK/ends.text" || die 65 "the copy lacks its marker, \"$HOLDFAST_MARKER\""
  fi
  check_size "$STREAM_BYTES" "$1"
  [ "${HOLDFAST_RESTORE_BYTES:-0}" -eq 0 ] || [ "$STREAM_BYTES" -le "$HOLDFAST_RESTORE_BYTES" ] ||
    die 73 "the copy has $STREAM_BYTES bytes, and the scratch space of a restore takes $HOLDFAST_RESTORE_BYTES: raise scratch for this unit, or say its size"
  settle_losses
  end_copy "$1" "$STREAM_BYTES" "${2-# }"
}
