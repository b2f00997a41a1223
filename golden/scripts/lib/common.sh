#!/bin/sh
# common.sh is the frame of every script of Holdfast that runs in a pod: messages,
# commands with a deadline, scratch, and how a script ends. Every script sources it
# first, then by name what else it uses of these, and then calls begin:
#   losses.sh    what a copy lacks
#   content.sh   checking and printing a copy, and reading its trailer
#   stream.sh    the same for a copy that is not kept
#   missing.sh   what a restore did not bring back
#   lock.sh      whether somebody else holds a lock
#   rights.sh    asking the API server for a right
#   export.sh    dumping objects of Kubernetes
#   objects.sh   taking such a dump apart, and comparing with what is there
#   apply.sh     bringing the objects back
# A pod has those that its scripts name, and no others.
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

HOLDFAST_ROOT=${HOLDFAST_ROOT:-/holdfast}
# shellcheck disable=SC2034 # for those that source it
TAB='	'
CR=$(printf '\r')
CHILD=

# The variables that hold secrets: their values are masked in what is repeated of other
# programs' messages. The container names its own, all that come from a Secret.
HOLDFAST_SECRETS=${HOLDFAST_SECRETS:-}
export HOLDFAST_SECRETS

# hold_secret NAME…: variables that a script makes of a secret itself, and exports.
hold_secret() {
  HOLDFAST_SECRETS="$HOLDFAST_SECRETS $*"
}

# begin is what a script does first, once all is sourced: limits, the folder in
# scratch, and what runs at its end.
begin() {
  umask 077
  LC_ALL=C
  export LC_ALL
  HOLDFAST_MIN_BYTES=${HOLDFAST_MIN_BYTES:-0}
  HOLDFAST_MIN_COUNT=${HOLDFAST_MIN_COUNT:-0}
  HOLDFAST_MARKER=${HOLDFAST_MARKER:-}
  HOLDFAST_LOSSES=${HOLDFAST_LOSSES:-}
  HOLDFAST_LEAVE_OUT=${HOLDFAST_LEAVE_OUT:-}
  HOLDFAST_ALLOW_EMPTY=${HOLDFAST_ALLOW_EMPTY:-}
  HOLDFAST_DEADLINE=${HOLDFAST_DEADLINE:-0}
  HOLDFAST_FILE_BYTES=${HOLDFAST_FILE_BYTES:-0}
  PATH=$PATH:$HOLDFAST_ROOT/tools
  HERE="the image ${HOLDFAST_IMAGE:-of this container}"
  require_tools awk cat date grep head mkdir rm sed tail timeout tr wc
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
  # The soft limit: a restore that makes a larger file of a copy may raise it.
  # shellcheck disable=SC3045 # dash and busybox have soft limits
  [ "$HOLDFAST_FILE_BYTES" -eq 0 ] || ulimit -S -f "$(((HOLDFAST_FILE_BYTES + 511) / 512))"
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
  trap tidy EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
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
      # A tool may quote whole rows of the source in its message. Many name what
      # was done first and why it failed last, so both ends stay.
      if (length(line) > 400) line = substr(line, 1, 240) "..." substr(line, length(line) - 159)
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

# plain_item TEXT, on stdout: it as it stands in a list, without line breaks, tabs and
# other control characters.
plain_item() {
  printf '%s' "$1" | tr '\000-\037\177' '?'
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

# listed FILE MOST: its lines on stderr, no more than so many, long ones shortened.
listed() {
  head -n "$2" <"$1" | awk 'length($0) > 400 { $0 = substr($0, 1, 400) "..." } { print "  " $0 }' >&2
  listed_count=$(count_lines '' "$1")
  [ "$listed_count" -le "$2" ] || say "and $((listed_count - $2)) more"
}

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
