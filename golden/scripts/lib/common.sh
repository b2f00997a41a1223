#!/bin/sh
# common.sh is sourced by every script of Holdfast that runs in a pod.
#
# Values come from the environment or from mounted files; none is evaluated, and
# a secret is never an argument of a command. What a script prints on stdout is
# the backup: it is written to scratch first, checked, and printed at the end, or
# it is streamed and checked while it passes. Its last line says that it is whole.
# On a failure there is no such line, and stderr says why.
#
# Folders, below HOLDFAST_ROOT (/holdfast):
#   bin                    the scripts
#   files                  entries of Secrets and ConfigMaps, such as ca.crt
#   tools                  kubectl, where the image has none; tools.sh copies it
#   locks/unit             holder, until: the unit's lock; may be absent
#   locks/instance         the same of the instance's lock
#
# Exit codes of all scripts:
#   0    done
#   64   wrong usage, a value is missing or malformed
#   65   the content was refused: marker, count, size, or what is in the target
#   69   the source or target is unreachable, or its tool failed
#   70   the API server or our rights there
#   73   scratch space is full
#   74   the backup could not be handed over
#   75   locked by somebody else: nothing was done
#   129, 130, 143   stopped by a signal

# The environment of every script:
#   HOLDFAST_UNIT          the unit's id; every message begins with it
#   HOLDFAST_SCRATCH       the only writable folder
#   HOLDFAST_MIN_BYTES     floor of the size, 0 = none
#   HOLDFAST_FILE_BYTES    largest file that fits into the scratch folder, 0 = any
#   HOLDFAST_RESTORE_BYTES largest copy that a restore's scratch takes, where a dump
#                          is streamed past its own
#   HOLDFAST_MIN_COUNT     floor of what the kind counts, 0 = none
#   HOLDFAST_MARKER        a text near the start or the end of a complete copy
#   HOLDFAST_LOSSES        what a copy may lack, one a line: the loss, a blank, and a
#                          shell pattern of items
#   HOLDFAST_LEAVE_OUT     shell patterns of items that a restore is not to try, one a line
#   HOLDFAST_ALLOW_EMPTY   why an empty copy is fine; "" = it is not
#   HOLDFAST_DEADLINE      seconds that one command may take, 0 = no limit
#   HOLDFAST_HOLDER        who we are to a lock, where we hold one
#   HOLDFAST_IMAGE         the image that this runs in; messages name it
#   HOLDFAST_SECRETS       the names of the variables that come from Secrets

umask 077
LC_ALL=C
export LC_ALL

HOLDFAST_ROOT=${HOLDFAST_ROOT:-/holdfast}
HOLDFAST_MIN_BYTES=${HOLDFAST_MIN_BYTES:-0}
HOLDFAST_MIN_COUNT=${HOLDFAST_MIN_COUNT:-0}
HOLDFAST_MARKER=${HOLDFAST_MARKER:-}
HOLDFAST_LOSSES=${HOLDFAST_LOSSES:-}
HOLDFAST_LEAVE_OUT=${HOLDFAST_LEAVE_OUT:-}
HOLDFAST_ALLOW_EMPTY=${HOLDFAST_ALLOW_EMPTY:-}
HOLDFAST_DEADLINE=${HOLDFAST_DEADLINE:-0}
HOLDFAST_FILE_BYTES=${HOLDFAST_FILE_BYTES:-0}
PATH=$PATH:$HOLDFAST_ROOT/tools

# The variables that hold secrets: their values are masked in what is repeated of other
# programs' messages. The container names its own, all that come from a Secret.
HOLDFAST_SECRETS=${HOLDFAST_SECRETS:-}
export HOLDFAST_SECRETS

# hold_secret NAME…: variables that a script makes of a secret itself, and exports.
hold_secret() {
  HOLDFAST_SECRETS="$HOLDFAST_SECRETS $*"
}

# say TEXT…: a line on stderr.
say() {
  printf 'holdfast: %s: %s\n' "${HOLDFAST_UNIT:-(no unit)}" "$*" >&2
}

# die CODE TEXT…
die() {
  die_code=$1
  shift
  say "$@"
  exit "$die_code"
}

# require_tools NAME…: each must be in the image. Nothing is started to find out,
# so each script says it at its start, before it changes anything.
require_tools() {
  for required_tool in "$@"; do
    command -v "$required_tool" >/dev/null || die 69 "$required_tool is missing in $HERE"
  done
}
HERE="the image ${HOLDFAST_IMAGE:-of this container}"
require_tools awk cat date grep head mkdir rm sed tail timeout tr wc

# at_least NAME MIN COMMAND [ARG…]: the first version that the command prints must
# not be older than MIN.
at_least() {
  at_least_name=$1 at_least_min=$2
  shift 2
  attempt 69 "asking $at_least_name for its version" "$@" >"$WORK/version" </dev/null
  at_least_found=$(grep -Eo '[0-9]+([.][0-9]+)+' "$WORK/version" | head -n 1)
  # shellcheck disable=SC2016 # awk's own variables
  awk 'BEGIN {
    n = split(ARGV[1], found, "."); m = split(ARGV[2], least, ".")
    for (i = 1; i <= n || i <= m; i++) if (found[i] + 0 != least[i] + 0) exit found[i] + 0 < least[i] + 0
    exit n == 0
  }' "$at_least_found" "$at_least_min" ||
    die 69 "$at_least_name is ${at_least_found:-of no known version} in $HERE; it must be $at_least_min or newer"
}

# ca_bundle, on stdout: the image's own file of public authorities. Distributions
# keep it in places of their own.
ca_bundle() {
  for ca_bundle_file in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/ca-bundle.pem /etc/ssl/cert.pem; do
    [ -s "$ca_bundle_file" ] || continue
    echo "$ca_bundle_file"
    return 0
  done
  die 69 "there are no certificate authorities in $HERE: name the server's own (caRef, caPem)"
}

# need NAME…: each variable must be set and not be empty.
need() {
  # awk, for it is in every image; not every busybox has printenv.
  # shellcheck disable=SC2016 # awk's own variables
  need_missing=$(awk 'BEGIN { for (i = 1; i < ARGC; i++) if (ENVIRON[ARGV[i]] == "") { print ARGV[i]; break }; exit }' "$@") ||
    die 69 "awk failed in $HERE"
  [ -z "$need_missing" ] || die 64 "$need_missing is not set"
}

# number NAME VALUE: the value must be a whole number.
number() {
  case $2 in
    '' | *[!0-9]*) die 64 "$1 is not a whole number" ;;
    ???????????????????*) die 64 "$1 is too large" ;;
  esac
}

# one_line NAME VALUE: the value must not hold a line break, nor a carriage return,
# which ends a line to some readers.
one_line() {
  case $2 in
    *'
'* | *"$CR"*) die 64 "$1 holds a line break" ;;
  esac
}
CR=$(printf '\r')

# lines VALUE: the lines of a list, without blank ones.
lines() {
  printf '%s\n' "$1" | sed '/^[[:space:]]*$/d'
}

# masked FILE: its last lines, without secrets.
masked() {
  tail -n 6 <"$1" | without_secrets
}

# without_secrets: stdin, without secrets and control characters. Longer secrets go
# first: one may be part of another.
without_secrets() {
  tr -d '\000-\010\013-\037\177' | awk '
    BEGIN {
      n = split(ENVIRON["HOLDFAST_SECRETS"], name, /[ \n]+/)
      for (i = 1; i <= n; i++) {
        m = split(ENVIRON[name[i]], part, "\n")
        for (j = 1; j <= m; j++) if (part[j] != "") secret[++count] = part[j]
      }
      for (i = 1; i <= count; i++)
        for (j = i + 1; j <= count; j++)
          if (length(secret[j]) > length(secret[i])) {
            t = secret[i]; secret[i] = secret[j]; secret[j] = t
          }
    }
    {
      line = $0
      for (i = 1; i <= count; i++) {
        out = ""
        while ((at = index(line, secret[i])) > 0) {
          out = out substr(line, 1, at - 1) "***"
          line = substr(line, at + length(secret[i]))
        }
        line = out line
      }
      # A tool may quote whole rows of the source in its message.
      if (length(line) > 400) line = substr(line, 1, 400) "..."
      print "  " line
    }'
}

# failed CODE WHAT STATUS: die for a command that failed, with the last lines of
# its stderr, which is in $WORK/stderr.
failed() {
  failed_code=$1
  if grep -qi 'no space left on device' "$WORK/stderr" 2>/dev/null; then
    failed_code=73
  fi
  # 153 is the signal that a file is too large (25, above 128).
  if [ "$3" -eq 153 ] || grep -qi 'file too large' "$WORK/stderr" 2>/dev/null; then
    say "the scratch space is too small: a file of $HOLDFAST_FILE_BYTES bytes is the largest that it takes; raise scratch for this unit"
    failed_code=73
  fi
  # timeout does not always tell: busybox returns the code of a command that
  # ends in its own way when it is stopped.
  failed_after=$(($(date +%s) - ${bounded_since:-0}))
  if [ "$HOLDFAST_DEADLINE" -gt 0 ] && [ -n "${bounded_since:-}" ] && [ "$failed_after" -ge "$HOLDFAST_DEADLINE" ]; then
    say "$2 did not end within $HOLDFAST_DEADLINE s"
  else
    say "$2 failed with exit code $3"
    case $3 in
      126 | 127) cannot_run ;;
      137) say 'it was killed, as what reaches the memory limit of its pod is: raise resources for this kind' ;;
    esac
  fi
  if [ -s "$WORK/stderr" ]; then
    masked "$WORK/stderr" >&2 || :
  fi
  exit "$failed_code"
}

# cannot_run says what exit code 126 or 127 of the command that ran last means.
# The shell and timeout call a program "not found" as well whose libc is absent.
cannot_run() {
  if grep -q '^command terminated with exit code 12[67]' "$WORK/stderr" 2>/dev/null; then
    say 'a tool is missing in the pod that was entered, or cannot run there'
  elif command -v "${bounded_tool:-}" >/dev/null; then
    say "$bounded_tool is there, but cannot run in $HERE: it was built for another libc or processor"
  else
    say "${bounded_tool:-a tool} is missing in $HERE"
  fi
}

# bounded COMMAND [ARG…]: the command, within the deadline.
bounded() {
  bounded_tool=$1
  bounded_since=$(date +%s)
  if [ "$HOLDFAST_DEADLINE" -gt 0 ]; then
    timeout "$HOLDFAST_DEADLINE" "$@"
  else
    "$@"
  fi
}

# attempt CODE WHAT COMMAND [ARG…]: the command within the deadline; if it fails,
# die with CODE and the end of its stderr.
attempt() {
  attempt_code=$1
  attempt_what=$2
  shift 2
  attempt_status=0
  bounded "$@" 2>"$WORK/stderr" || attempt_status=$?
  [ "$attempt_status" -eq 0 ] || failed "$attempt_code" "$attempt_what" "$attempt_status"
}

# attempt_silently CODE WHAT COMMAND [ARG…]: as attempt, for a command that reads secrets:
# its messages may quote them, so they are not repeated.
attempt_silently() {
  silent_code=$1
  silent_what=$2
  shift 2
  silent_status=0
  bounded "$@" 2>/dev/null || silent_status=$?
  : >"$WORK/stderr"
  [ "$silent_status" -eq 0 ] || failed "$silent_code" "$silent_what" "$silent_status"
}

# run_child COMMAND [ARG…]: the command in the background, and wait for it. A
# shell acts on a signal only between commands, but at once while it waits.
CHILD=
run_child() {
  bounded_tool=$1
  "$@" &
  CHILD=$!
  child_status=0
  wait "$CHILD" || child_status=$?
  CHILD=
  return "$child_status"
}

# file_size FILE, on stdout.
file_size() {
  file_size_raw=$(wc -c <"$1") || die 73 'scratch cannot be read'
  echo $((file_size_raw))
}

# count_lines REGEX FILE: how many lines match, on stdout. 0 is no failure.
count_lines() {
  count_status=0
  grep -Ec -e "$1" -- "$2" || count_status=$?
  [ "$count_status" -le 1 ] || die 69 'grep failed'
}

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

# plain_item TEXT, on stdout: it as it stands in a list, without line breaks, tabs and
# other control characters.
plain_item() {
  printf '%s' "$1" | tr '\000-\037\177' '?'
}

# clean_losses: the same for lines that were not written by loss; of those each tab
# and line break is meant.
clean_losses() {
  tr '\000-\010\013-\037\177' '?' <"$WORK/losses" >"$WORK/losses.clean" || die 73 'scratch cannot be written'
  cat -- "$WORK/losses.clean" >"$WORK/losses" || die 73 'scratch cannot be written'
}

# matches ITEM PATTERN: as the shell matches names; an item as it was told matches
# itself, whatever characters it has.
matches() {
  # shellcheck disable=SC2254 # a pattern is meant
  case $1 in
    "$2" | $2) return 0 ;;
  esac
  return 1
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
TAB='	'

# listed FILE MOST: its lines on stderr, no more than so many, long ones shortened.
listed() {
  head -n "$2" <"$1" | awk 'length($0) > 400 { $0 = substr($0, 1, 400) "..." } { print "  " $0 }' >&2
  listed_count=$(count_lines '' "$1")
  [ "$listed_count" -le "$2" ] || say "and $((listed_count - $2)) more"
}

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

# read_trailer FILE: sets COPY_COUNT, COPY_BYTES and TRAILER_BYTES, and writes the
# losses into $WORK/copy.losses, as the dump had them; dies where the copy was cut.
read_trailer() {
  read_size=$(file_size "$1")
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

# listable RESOURCE…: no Secrets, and nothing that kubectl could take for an
# option. Secrets are a unit of their own, with rights of their own.
listable() {
  for listable_name in "$@"; do
    case $listable_name in
      [!a-z]* | *[!a-z0-9./_-]*) die 64 "\"$listable_name\" names no resource" ;;
      secret | secrets | secret/* | secrets/* | secret.* | secrets.*) die 64 'Secrets belong to the kind kubernetes-secrets' ;;
    esac
  done
}

# The API server sends lists page by page, this many objects each. An object may
# have a megabyte and a half, and jq takes three times that.
EXPORT_PAGE=50

# export_objects LIST OPTION INDEX [TOP]: every object of the listed resources
# ("resource", "resource.group" or "resource/name") in $WORK/dump, one on each line of
# a JSON List, as the API server has them in its order; kubectl and jq never see more
# than a page. INDEX is a jq filter that makes a line of $WORK/index of each object.
# TOP is a jq filter that makes further fields of the List; $skipped is what was
# skipped, and stands there, too.
#
# An API that is absent, or whose own server does not answer, is recorded as skipped
# and does not stop the others; anything else does. kubectl's exit code does not tell
# them apart, so the API server is asked.
export_objects() {
  [ -n "$(lines "$1")" ] || die 64 'RESOURCES is empty'
  lines "$1" >"$WORK/resources" || die 73 'scratch is full'
  [ -s "$WORK/resources" ] || die 73 'scratch is full'
  echo '{"apiVersion":"v1","kind":"List","metadata":{},"items":[' >"$WORK/dump" || die 73 'scratch is full'
  : >"$WORK/texts"
  : >"$WORK/skipped"
  mkdir -- "$WORK/api" || die 73 'scratch cannot be written'
  export_started=0
  while IFS= read -r resource <&3; do
    listable "$resource"
    export_place "$resource" "$2" || continue
    export_pages "$resource" "$2" "$3"
  done 3<"$WORK/resources"
  attempt 73 'writing the list' jq -r . "$WORK/texts" >"$WORK/index"
  attempt 73 'writing the list' jq -r -n --slurpfile skipped "$WORK/skipped" \
    "{skipped: \$skipped} + (${4:-null} // {}) | \"],\" + tojson[1:]" >"$WORK/end"
  cat -- "$WORK/end" >>"$WORK/dump" || die 73 'scratch is full'
  rm -rf -- "$WORK/api" "$WORK/page" "$WORK/part"
}

# export_ask RESOURCE OPTION PATH FILE: what the API server says there; not 0 if it
# was skipped for it.
export_ask() {
  export_status=0
  bounded kubectl get --raw "$3" >"$4" 2>"$WORK/stderr" </dev/null || export_status=$?
  if [ "$export_status" -ne 0 ]; then
    export_skip "$1" "$2" "$export_status"
    return 1
  fi
  # jq takes nothing at all for fine.
  [ -s "$4" ] || die 70 "listing $1: kubectl printed no list of $1"
}

# export_place RESOURCE OPTION: sets export_kind, export_version and export_path, by
# what the API server says of the group: the version that it prefers of those that
# have the resource, as kubectl does.
export_place() {
  export_name=''
  case $1 in
    */*) export_name=${1#*/} ;;
  esac
  # They become parts of a path.
  case $export_name in
    *[!a-z0-9.-]* | [!a-z0-9]*) [ -z "$export_name" ] || die 64 "\"$1\" names no resource" ;;
  esac
  export_group=${1%%/*}
  export_plural=${export_group%%.*}
  case $export_group in
    *.*) export_group=${export_group#*.} ;;
    *) export_group='' ;;
  esac
  export_file=$WORK/api/${export_group:-core}
  if [ ! -e "$export_file" ]; then
    if [ -z "$export_group" ]; then
      echo v1 >"$export_file" || die 73 'scratch is full'
    else
      export_ask "$1" "$2" "/apis/$export_group" "$WORK/group" || return 1
      # shellcheck disable=SC2016 # jq's and awk's own variables
      attempt_silently 70 "listing $1: reading the list of versions" jq -r '
        if .kind == "APIGroup" then [.preferredVersion.version] + [.versions[].version] | reduce .[] as $v ([]; if index([$v]) then . else . + [$v] end) | .[]
        else error("this is no group") end' "$WORK/group" >"$export_file.part"
      mv -- "$export_file.part" "$export_file" || die 73 'scratch is full'
    fi
  fi
  while IFS= read -r export_version <&4; do
    export_api=/apis/$export_group/$export_version
    [ -n "$export_group" ] || export_api=/api/$export_version
    if [ ! -e "$export_file.$export_version" ]; then
      export_ask "$1" "$2" "$export_api" "$export_file.part" || return 1
      mv -- "$export_file.part" "$export_file.$export_version" || die 73 'scratch is full'
    fi
    # shellcheck disable=SC2016 # jq's and awk's own variables
    attempt_silently 70 "listing $1: reading the list of resources" jq -r --arg name "$export_plural" '
      if .kind == "APIResourceList" then .resources[] | select(.name == $name) | "\(.kind) \(.namespaced)"
      else error("this is no list") end' "$export_file.$export_version" >"$WORK/found"
    [ -s "$WORK/found" ] || continue
    read -r export_kind export_namespaced <"$WORK/found"
    [ -z "$export_group" ] || export_version=$export_group/$export_version
    export_path=$export_api/$export_plural
    case $2 in
      --namespace=*) [ "$export_namespaced" != true ] || export_path=$export_api/namespaces/${2#--namespace=}/$export_plural ;;
    esac
    return 0
  done 4<"$export_file"
  echo 'the server does not have a resource type of this name' >"$WORK/stderr"
  export_skip "$1" "$2" 1
  return 1
}

# export_pages RESOURCE OPTION INDEX: all pages of it, or the one object.
export_pages() {
  export_query="?limit=$EXPORT_PAGE"
  [ -z "$export_name" ] || export_query=/$export_name
  export_next=
  while :; do
    export_ask "$1" "$2" "$export_path$export_query$export_next" "$WORK/page" || {
      # The first page may be of an API that is away. Half a list is no list.
      [ -z "$export_next" ] || die 70 "listing $1: its API went away in the middle"
      return 0
    }
    # Two lines of each: the object, and a text for the index.
    attempt_silently 70 "listing $1: reading the list of $1" jq -cS --arg kind "$export_kind" --arg version "$export_version" --arg name "$export_name" "
      (if \$name != \"\" then (if .metadata.name == \$name then . else error(\"this is another object\") end)
       elif (.kind | type) == \"string\" and (.kind | endswith(\"List\")) and (.metadata | type) == \"object\" then (.items // [])[]
       else error(\"this is no list\") end)
      | {apiVersion: \$version, kind: \$kind} + .
      | del(.metadata.managedFields, .metadata.resourceVersion, .metadata.selfLink,
            .metadata.annotations[\"kubectl.kubernetes.io/last-applied-configuration\"])
      | ., ($3 | tostring)" "$WORK/page" >"$WORK/part"
    # shellcheck disable=SC2016 # jq's and awk's own variables
    attempt 73 'writing the list' awk -v started="$export_started" -v texts="$WORK/texts" '
      /^"/ { print >>texts; next }
      { print (started++ ? "," : "") $0 }' "$WORK/part" >>"$WORK/dump"
    [ ! -s "$WORK/part" ] || export_started=1
    export_next=
    if [ -z "$export_name" ]; then
      attempt_silently 70 "listing $1: reading the list of $1" jq -r '.metadata.continue // "" | if . == "" then "" else "&continue=" + @uri end' "$WORK/page" >"$WORK/next"
      read -r export_next <"$WORK/next"
    fi
    [ -n "$export_next" ] || return 0
  done
}

# unpack_list FILE FILTER: the objects of a JSON List, each in a file of its own below
# $WORK/objects; $WORK/order has "file id" of each. FILTER, a jq filter, makes an array
# of each: rank, id, what to write; or nothing. The lower rank comes first; of one below
# 0 only the id is noted, in $WORK/aside. The List is never held. What jq says may quote
# it, so it is not repeated.
unpack_list() {
  # shellcheck disable=SC2016 # jq's own variables
  attempt_silently 65 'reading the dump' jq -n --stream '
    reduce inputs as $e ({documents: 0};
      if ($e | length) == 1 and ($e[0] | length) == 1 then .documents += 1
      elif $e[0] == ["kind"] then .kind = $e[1]
      elif $e[0] == ["items"] then .items = ($e[1] == [])
      elif $e[0][0] == "items" then .items = ($e[0][1] | type == "number")
      else . end)
    | if .documents == 1 and .kind == "List" and .items then empty else error("this is no List") end' "$1"
  mkdir -- "$WORK/objects" "$WORK/ranks" || die 73 'scratch cannot be written'
  # A pipe tells nothing of what comes first in it, so it ends with a line.
  { attempt_silently 65 'reading the dump' jq -n -r --stream \
    "fromstream(2 | truncate_stream(inputs | select(.[0][0] == \"items\"))) | $2 | \"\\(1000 + .[0]) \\(.[1])\\t\\(.[2] | tojson)\"" "$1" && echo end; } |
    awk -v folder="$WORK" '
      $0 == "end" { whole = 1; next }
      {
        at = index($0, "\t")
        rank = $0
        sub(/ .*/, "", rank)
        id = substr($0, length(rank) + 2, at - length(rank) - 2)
        if (rank + 0 < 1000) { print id >(folder "/aside"); next }
        n++
        file = folder "/objects/" n
        print substr($0, at + 1) >file
        close(file)
        print n " " id >(folder "/ranks/" rank)
      }
      END { exit !whole }' || die 65 'reading the dump: it cannot be taken apart'
  : >>"$WORK/aside" || die 73 'scratch is full'
  : >"$WORK/order"
  for rank in "$WORK"/ranks/*; do
    [ ! -e "$rank" ] || cat -- "$rank" >>"$WORK/order" || die 73 'scratch is full'
  done
}

# compare_object LIVE COPY: sets DIFFERS to the fields of the copy that are not the
# same in the live object, "" if there are none, and GOING to what is known of one that
# is being deleted. Fields that only the live one has are no difference. What a cluster,
# kubectl, Flux, Helm or we set by themselves is not compared; nor is how often a
# workload runs, for it is stopped while its data comes back.
compare_object() {
  # shellcheck disable=SC2016 # jq's own variables
  attempt_silently 65 'comparing an object' jq -n -r --slurpfile live "$1" --slurpfile copy "$2" '
    def foreign: test("^((kubectl|deployment|control-plane\\.alpha|autoscaling\\.alpha|pv|volume|volume\\.beta|endpoints|batch)\\.kubernetes\\.io"
      + "|reconcile\\.fluxcd\\.io|kustomize\\.toolkit\\.fluxcd\\.io|meta\\.helm\\.sh|field\\.cattle\\.io)/|^deprecated\\.daemonset\\.template\\.generation$");
    def said:
      del(.apiVersion, .kind, .status, .metadata.name, .metadata.namespace, .metadata.uid, .metadata.resourceVersion,
          .metadata.creationTimestamp, .metadata.managedFields, .metadata.generation, .metadata.selfLink, .metadata.generateName,
          .metadata.ownerReferences, .metadata.finalizers, .metadata.deletionTimestamp, .metadata.deletionGracePeriodSeconds)
      | if .metadata.annotations then .metadata.annotations |= with_entries(select(.key | foreign | not)) else . end
      | if .metadata.labels["holdfast.dev/unit"]? then del(.metadata.labels["holdfast.dev/unit"], .metadata.annotations["k8up.io/backup"]) else . end
      | if .spec.template.metadata.annotations? then .spec.template.metadata.annotations |= with_entries(select(.key | foreign | not)) else . end;
    def differ($want; $have; $path):
      if ($want | type) == "object" and ($have == null or ($have | type) == "object") then
        $want | keys[] as $key | differ($want[$key]; $have[$key]; $path + "." + ($key | tostring))
      elif ($want | type) == "array" and ($have | type) == "array" and ($want | length) == ($have | length) then
        range($want | length) as $i | differ($want[$i]; $have[$i]; $path + "[\($i)]")
      elif $want == $have then empty
      elif $have == null and ($want == "" or $want == false or ([$want | .. | scalars] | length) == 0) then empty
      else $path end;
    $copy[0] as $copy | $live[0] as $live
    | ($copy | said
       # How work is stopped while data comes back.
       | if (.spec? | type) == "object" then del(.spec.replicas) else . end
       | if $copy.kind == "CronJob" then del(.spec.suspend) else . end
       # Of an account, the tokens and pull secrets that clusters make themselves; of a
       # token, when it was used.
       | if $copy.kind == "ServiceAccount" then del(.secrets) else . end
       | if .imagePullSecrets? then .imagePullSecrets |= map(select(.name? // "" | test("-dockercfg-[a-z0-9]{5}$") | not)) else . end
       | if .imagePullSecrets? == [] then del(.imagePullSecrets) else . end
       | if .metadata.labels? then del(.metadata.labels["kubernetes.io/legacy-token-last-used"]) else . end) as $want
    | ([limit(4; differ($want; $live | said; ""))] | join(", ")),
      (if $live.metadata.deletionTimestamp then
         "it is being deleted since \($live.metadata.deletionTimestamp)"
         + ((($live.metadata.finalizers // []) + ($live.spec.finalizers? // [])) | if length > 0 then ", and waits for \(join(", "))" else "" end)
       else "" end)' >"$WORK/compared"
  # shellcheck disable=SC2034 # for the caller
  { IFS= read -r DIFFERS && IFS= read -r GOING; } <"$WORK/compared" || die 65 'comparing an object: no answer'
}

# allowed VERB RESOURCE OPTION: "true" if we may, on stdout. Not by "kubectl auth
# can-i": that forgets the group of an API that is absent.
allowed() {
  # shellcheck disable=SC2016 # jq's own variables
  attempt 73 'writing to scratch' jq -cn --arg verb "$1" --arg name "$2" --arg option "$3" '
    ($name | split("/")) as $part
    | ($part[0] | split(".")) as $word
    | { apiVersion: "authorization.k8s.io/v1", kind: "SelfSubjectAccessReview", spec: { resourceAttributes: {
          verb: $verb, group: ($word[1:] | join(".")), resource: $word[0], name: ($part[1] // ""),
          namespace: (if $option | startswith("--namespace=") then $option[12:] else "" end) } } }' >"$WORK/review"
  attempt 70 "asking for the right to $1 $2" \
    kubectl create --raw=/apis/authorization.k8s.io/v1/selfsubjectaccessreviews --filename="$WORK/review" >"$WORK/answer" </dev/null
  attempt 70 'reading the answer' jq .status.allowed "$WORK/answer"
}

# export_skip RESOURCE OPTION STATUS: record it, or die.
export_skip() {
  skip_verb='list'
  case $1 in
    */*)
      skip_verb='get'
      ! grep -q '(NotFound)' "$WORK/stderr" || die 65 "$1 does not exist"
      ;;
  esac
  ! grep -q '(Forbidden)' "$WORK/stderr" || failed 70 "listing $1" "$3"
  bounded kubectl get --raw /version >/dev/null 2>"$WORK/version.err" </dev/null || failed 70 "listing $1" "$3"
  cp -- "$WORK/stderr" "$WORK/list.stderr" || die 73 'scratch cannot be written'
  allowed "$skip_verb" "$1" "$2" >"$WORK/allowed"
  mv -- "$WORK/list.stderr" "$WORK/stderr" || die 73 'scratch cannot be written'
  read -r skip_answer <"$WORK/allowed"
  [ "$skip_answer" = true ] || failed 70 "listing $1 (no right to $skip_verb it)" "$3"
  # An API server that went away for a moment, or was too slow, gives no reason to
  # call a copy whole that lacks what it did not tell.
  if grep -Eq '\(ServiceUnavailable\)|unable to handle the request' "$WORK/stderr"; then
    skip_reason=unreachable
  elif grep -Eq "have a resource type|could not find the requested resource|no matches for kind" "$WORK/stderr"; then
    skip_reason=absent
  else
    failed 70 "listing $1" "$3"
  fi
  case ${1%%/*} in
    # Other servers' APIs and those of CRDs are in groups with a domain.
    *.*.*) ;;
    *) failed 70 "listing $1" "$3" ;;
  esac
  say "skipped $1: its API is $skip_reason"
  # shellcheck disable=SC2016 # jq's own variables
  attempt 73 'writing to scratch' \
    jq -cn --arg resource "$1" --arg reason "$skip_reason" '{resource: $resource, reason: $reason}' >>"$WORK/skipped"
}

# The script's own folder in scratch. What a killed run of the same container
# left behind goes away first, for it would fill the scratch space.
[ -n "${HOLDFAST_SCRATCH:-}" ] || die 64 'HOLDFAST_SCRATCH is not set'
number HOLDFAST_MIN_BYTES "$HOLDFAST_MIN_BYTES"
number HOLDFAST_MIN_COUNT "$HOLDFAST_MIN_COUNT"
number HOLDFAST_DEADLINE "$HOLDFAST_DEADLINE"
number HOLDFAST_FILE_BYTES "$HOLDFAST_FILE_BYTES"
number HOLDFAST_RESTORE_BYTES "${HOLDFAST_RESTORE_BYTES:-0}"
# A tool that runs into this limit fails, and we say so. Without it kubelet evicts
# the pod, and nobody can read why.
[ "$HOLDFAST_FILE_BYTES" -eq 0 ] || ulimit -f "$(((HOLDFAST_FILE_BYTES + 511) / 512))"
for stale in "$HOLDFAST_SCRATCH"/work.*; do
  [ -d "$stale" ] || continue
  ! kill -0 "${stale##*.}" 2>/dev/null || [ "${stale##*.}" = "$$" ] || continue
  rm -rf -- "$stale"
done
WORK=$HOLDFAST_SCRATCH/work.$$
mkdir -- "$WORK" 2>/dev/null || die 73 "the scratch folder $HOLDFAST_SCRATCH cannot be written"

# Tools that keep caches and histories keep them here: the rest is read-only.
HOME=$WORK
TMPDIR=$WORK
export HOME TMPDIR

# finish is what a script has to undo beyond its folder; it may define its own.
finish() { :; }

# tidy runs at the end, however it comes, and keeps the exit code.
# shellcheck disable=SC2317 # called by trap
tidy() {
  tidy_status=$?
  trap '' HUP INT TERM
  if [ -n "$CHILD" ]; then
    # Its whole group, where it has one.
    kill -TERM "-$CHILD" 2>/dev/null || kill -TERM "$CHILD" 2>/dev/null || :
    wait "$CHILD" 2>/dev/null || :
  fi
  finish || :
  explain
  rm -rf -- "$WORK"
  exit "$tidy_status"
}

# explain names what nothing has named yet. On a full scratch folder a tool's
# message has no room either, and some tools then lose their last bytes with
# exit code 0: so whatever it was that failed, the room is tried.
# shellcheck disable=SC2317 # called by tidy
explain() {
  case $tidy_status in
    0 | 64 | 75 | 129 | 130 | 143) return 0 ;;
    65 | 69 | 70 | 73 | 74) ;;
    126 | 127)
      say "a tool is missing in $HERE, or cannot run there (exit code $tidy_status)"
      tidy_status=69
      ;;
    *) say "a command failed with exit code $tidy_status" ;;
  esac
  if ! head -c 65536 </dev/zero 2>/dev/null >"$WORK/room"; then
    say "the scratch folder $HOLDFAST_SCRATCH is full"
    tidy_status=73
  fi
}
trap tidy EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
