#!/bin/sh
# crypt.sh is sourced, after common.sh, by the scripts that copy buckets: the
# crypt remote, and rclone run so that a signal stops it at once.

require_tools cmp rclone sha256sum sort
need HOLDFAST_BACKUP CRYPT_PASSWORD CANARY_PATH CANARY_SHA256
# shellcheck disable=SC2153 # from the environment
one_line CRYPT_PASSWORD "$CRYPT_PASSWORD"
one_line CRYPT_PASSWORD2 "${CRYPT_PASSWORD2:-}"
case $CANARY_PATH in
  /* | current | current/* | history | history/* | unfinished | unfinished/* | metadata | metadata/* | losses | hot | expired) die 64 'CANARY_PATH is absolute, or part of the copy' ;;
esac
ZEROS=0000000000000000000000000000000000000000000000000000000000000000
RCLONE_CONFIG=${RCLONE_CONFIG:-$WORK/rclone.conf}
RCLONE_CACHE_DIR=${RCLONE_CACHE_DIR:-$WORK/cache}
export RCLONE_CONFIG RCLONE_CACHE_DIR
# An absent file would be worth a notice each time.
[ -e "$RCLONE_CONFIG" ] || : >"$RCLONE_CONFIG" || die 73 'scratch cannot be written'
# The SDK of older versions fails every S3 remote when this is set.
unset AWS_CA_BUNDLE
# Empty is "as usual" to us, but no known encoding to rclone.
[ -n "${RCLONE_CONFIG_ENC_FILENAME_ENCODING:-}" ] || unset RCLONE_CONFIG_ENC_FILENAME_ENCODING

# An older rclone cannot write objects back with their metadata. It would fail on
# the day of the restore.
rclone rc --loopback job/batch --json '{"inputs":[]}' >/dev/null 2>&1 ||
  die 69 "rclone is older than 1.72 in $HERE, or cannot run there"

# Every key of the source must have a name, and every name lead back to its key.
# rclone's names have pictures in place of control characters, and a sign that
# quotes; only without a further encoding nothing else is made another.
RCLONE_CONFIG_SRC_ENCODING=Raw
# What is uploaded is compared with the sum in the server's answer, and listed at
# the end: a request more for each object tells nothing new.
RCLONE_CONFIG_BAK_NO_HEAD=true
TZ=UTC
export RCLONE_CONFIG_SRC_ENCODING RCLONE_CONFIG_BAK_NO_HEAD TZ

# obscured TEXT: as rclone wants passwords, on stdout. rclone takes one from
# stdin, so it is in no process list.
obscured() {
  printf '%s\n' "$1" | rclone obscure - 2>"$WORK/stderr" || failed 69 'obscuring a password' $?
}

# crypt_remote makes the remote "enc" above HOLDFAST_BACKUP.
crypt_remote() {
  RCLONE_CONFIG_ENC_TYPE=crypt
  RCLONE_CONFIG_ENC_REMOTE=$HOLDFAST_BACKUP
  case ${CRYPT_PASSWORDS_ARE:-plain} in
    plain)
      RCLONE_CONFIG_ENC_PASSWORD=$(obscured "$CRYPT_PASSWORD")
      RCLONE_CONFIG_ENC_PASSWORD2=
      if [ -n "${CRYPT_PASSWORD2:-}" ]; then
        RCLONE_CONFIG_ENC_PASSWORD2=$(obscured "$CRYPT_PASSWORD2")
      fi
      ;;
    obscured)
      RCLONE_CONFIG_ENC_PASSWORD=$CRYPT_PASSWORD
      RCLONE_CONFIG_ENC_PASSWORD2=${CRYPT_PASSWORD2:-}
      ;;
    *) die 64 'CRYPT_PASSWORDS_ARE is neither plain nor obscured' ;;
  esac
  export RCLONE_CONFIG_ENC_TYPE RCLONE_CONFIG_ENC_REMOTE RCLONE_CONFIG_ENC_PASSWORD
  if [ -n "$RCLONE_CONFIG_ENC_PASSWORD2" ]; then
    export RCLONE_CONFIG_ENC_PASSWORD2
  fi
  hold_secret RCLONE_CONFIG_ENC_PASSWORD RCLONE_CONFIG_ENC_PASSWORD2
}

# require_scratch: die if scratch is full. rclone does not always notice that part of
# what it writes is lost, and a short list must not pass for a whole one.
require_scratch() {
  head -c 65536 </dev/zero 2>/dev/null >"$WORK/room" || die 73 'scratch is full'
  rm -f -- "$WORK/room"
}

# rclone_status COMMAND [ARG…]: rclone in the background; its exit code.
rclone_status() {
  run_child rclone "$@" 2>"$WORK/stderr"
}

# rclone_failed CODE WHAT STATUS: die for rclone's exit code.
rclone_failed() {
  run_code=$1
  case $3 in
    2) run_code=64 ;;
    3) say 'a bucket or folder does not exist' ;;
    5) say 'a temporary fault; the next run takes up where this one stopped' ;;
    7)
      run_code=65
      say 'stopped: more would be replaced or removed than is allowed; the copy is not whole until a run succeeds'
      ;;
    10) say 'stopped: no time left; the next run takes up where this one stopped' ;;
  esac
  failed "$run_code" "$2" "$3"
}

# rclone_run CODE WHAT COMMAND [ARG…]: rclone, or die. 9 says that there was
# nothing to do.
rclone_run() {
  run_code=$1
  run_what=$2
  shift 2
  run_status=0
  rclone_status "$@" || run_status=$?
  case $run_status in
    0 | 9) return 0 ;;
  esac
  rclone_failed "$run_code" "$run_what" "$run_status"
}

# names_of FILE: the first field of each line.
names_of() {
  awk 'BEGIN { FS = "\t" } { print $1 }' "$1"
}

# keyed LISTING, on stdout: each object once, by its name. An object that stands for
# a folder is listed as a folder without a time; other folders are no objects.
keyed() {
  awk -f "$HOLDFAST_ROOT/bin/names.awk" -f "$HOLDFAST_ROOT/bin/keyed.awk" "$1"
}

# list_into FILE REMOTE WHAT [OPTION…]: every object of a remote, sorted by name, as
# lines of name, size and the time at which the server stored it; sets COUNT and
# BYTES. A folder of the backup that does not exist yet is empty; a missing source
# is an error. One walk through all keys, whatever their folders.
list_into() {
  list_file=$1 list_remote=$2 list_what=$3
  shift 3
  list_status=0
  # rclone gives folders without a time this one.
  rclone_status lsf --recursive --fast-list --use-server-modtime --default-time=2000-01-01T00:00:00Z --crypt-strict-names \
    --format=pst --separator="$TAB" --time-format=2006-01-02T15:04:05.000 "$@" "$list_remote" >"$WORK/listed" || list_status=$?
  if [ "$list_status" -eq 3 ]; then
    case $list_remote in
      enc:*)
        : >"$list_file"
        COUNT=0 BYTES=0
        return 0
        ;;
      *) say "$list_remote does not exist" ;;
    esac
  fi
  [ "$list_status" -eq 0 ] || failed 69 "$list_what" "$list_status"
  require_scratch
  keyed "$WORK/listed" >"$WORK/keyed" || die 73 'scratch is full'
  sort -t "$TAB" -k 1,1 <"$WORK/keyed" >"$list_file" || die 73 'scratch is full'
  rm -f -- "$WORK/listed" "$WORK/keyed"
  # awk's numbers are exact up to 2^53.
  awk 'BEGIN { FS = "\t" } { bytes += $2 } END { printf "%d %.0f\n", NR, bytes }' "$list_file" >"$WORK/counted"
  read -r COUNT BYTES <"$WORK/counted" || die 73 'scratch is full'
  number "$list_what" "$COUNT"
  number "$list_what" "$BYTES"
}

# list_source FILE WHAT: the same of the source or target. XML has no control
# characters; where a name shows some, or the sign for what could not be read, the
# server is asked for names in another form. Not every server knows the form: then
# names with the form's own signs would come out as others.
list_source() {
  list_into "$1" "$HOLDFAST_SOURCE" "$2"
  [ -z "${RCLONE_CONFIG_SRC_LIST_URL_ENCODE:-}" ] || return 0
  odd_names='�|␀|␁|␂|␃|␄|␅|␆|␇|␈|␉|␊|␋|␌|␍|␎|␏|␐|␑|␒|␓|␔|␕|␖|␗|␘|␙|␚|␛|␜|␝|␞|␟|␡'
  grep -qE -e "$odd_names" -- "$1" || return 0
  names_of "$1" | grep -vE -e "$odd_names" | grep -e '[+%]' | head -n 1 >"$WORK/sign" || :
  RCLONE_CONFIG_SRC_LIST_URL_ENCODE=true
  export RCLONE_CONFIG_SRC_LIST_URL_ENCODE
  list_into "$1" "$HOLDFAST_SOURCE" "$2"
  [ -s "$WORK/sign" ] || return 0
  names_of "$1" >"$WORK/named" || die 73 'scratch is full'
  if ! grep -qxF -f "$WORK/sign" -- "$WORK/named"; then
    RCLONE_CONFIG_SRC_LIST_URL_ENCODE=false
    list_into "$1" "$HOLDFAST_SOURCE" "$2"
  fi
  rm -f -- "$WORK/named"
}

# pieces FILE: cuts the list into files of as many names as rclone keeps in mind at
# once, $WORK/piece.1 and so on; sets PIECES.
PIECE=${PIECE:-20000}
pieces() {
  rm -f -- "$WORK"/piece.*
  awk -v piece="$PIECE" -v name="$WORK/piece." -f "$HOLDFAST_ROOT/bin/pieces.awk" "$1" >"$WORK/pieces" || die 73 'scratch is full'
  require_scratch
  read -r PIECES <"$WORK/pieces"
}

# sha256 FILE, on stdout.
sha256() {
  sha256_line=$(sha256sum -- "$1") || die 69 'sha256sum failed'
  echo "${sha256_line%% *}"
}

# canary_known: whether the canary can be read and is the expected one. Another
# content than the expected one is no doubt, but an error.
canary_known() {
  canary_status=0
  rclone_status cat --crypt-strict-names "enc:$CANARY_PATH" >"$WORK/canary" || canary_status=$?
  if [ "$canary_status" -ne 0 ] || [ ! -s "$WORK/canary" ]; then
    # Absent, or under another name: what the password makes of it.
    case $canary_status in
      0 | 3 | 4) ;;
      *) masked "$WORK/stderr" >&2 ;;
    esac
    return 1
  fi
  canary_sum=$(sha256 "$WORK/canary")
  if [ "$CANARY_SHA256" != "$ZEROS" ]; then
    [ "$canary_sum" = "$CANARY_SHA256" ] || die 65 "the canary's SHA-256 is $canary_sum, expected is $CANARY_SHA256"
  else
    say "the canary's SHA-256 is $canary_sum; put it into the credentials"
    if [ -f "$WORK/canary.ours" ] && ! cmp -s "$WORK/canary" "$WORK/canary.ours"; then
      die 65 'the canary is not the one that this instance writes'
    fi
  fi
}

# backup_is_empty: whether the encrypted side holds nothing at all.
backup_is_empty() {
  empty_status=0
  rclone_status lsf --max-depth=1 "$HOLDFAST_BACKUP" >"$WORK/raw" || empty_status=$?
  require_scratch
  case $empty_status in
    0 | 3) [ ! -s "$WORK/raw" ] ;;
    *) failed 69 'listing the backup' "$empty_status" ;;
  esac
}

# stamps FOLDER: the times that the entries of enc:FOLDER are named by, oldest
# first, in $WORK/FOLDER. Other names are left alone.
stamps() {
  stamps_status=0
  rclone_status lsf --crypt-strict-names "enc:$1" >"$WORK/listed" || stamps_status=$?
  require_scratch
  case $stamps_status in
    0) ;;
    3) : >"$WORK/listed" ;;
    *) failed 69 "listing $1" "$stamps_status" ;;
  esac
  sed -n 's|^\([0-9]\{8\}T[0-9]\{6\}Z\)/\{0,1\}$|\1|p' "$WORK/listed" >"$WORK/stamps" || die 73 'scratch is full'
  sort <"$WORK/stamps" >"$WORK/$1" || die 73 'scratch is full'
}

# heads, on stdout: of rclone's log of headers on stdin, a line for each answer to a
# HEAD or GET request for an object: its name, and the headers that an upload must
# bring again to make the same object, as JSON. What no upload of ours can bring goes
# to $WORK/losses, rclone's errors go to $WORK/stderr.
#
#   SRC_ROOT   what stands before a key in a request's path
heads() {
  awk -v losses="$WORK/losses" -v said="$WORK/stderr" -f "$HOLDFAST_ROOT/bin/names.awk" -f "$HOLDFAST_ROOT/bin/heads.awk"
}

# source_root sets SRC_ROOT for heads, and SOURCE_HEADED: the source, such that its
# requests are in rclone's log, and no others.
source_root() {
  SOURCE_HEADED="${HOLDFAST_SOURCE%%:*},override.dump=headers:${HOLDFAST_SOURCE#*:}"
  SRC_ROOT=${HOLDFAST_SOURCE#*:}
  SRC_ROOT=${SRC_ROOT%/}/
  [ "${RCLONE_CONFIG_SRC_FORCE_PATH_STYLE:-true}" = true ] || SRC_ROOT=${SRC_ROOT#*/}
  source_base=${RCLONE_CONFIG_SRC_ENDPOINT:-}
  source_base=${source_base#*://}
  case $source_base in
    */*) source_base=/${source_base#*/} ;;
    *) source_base= ;;
  esac
  SRC_ROOT=${source_base%/}/$SRC_ROOT
  export SRC_ROOT
}

# headed FILE COMMAND [ARG…]: rclone; adds what heads makes of its log to the file.
# Its exit code, like rclone_status.
headed() {
  : >"$WORK/stderr"
  run_child headed_child "$@" || failed 73 'reading headers' $?
  read -r headed_status <"$WORK/headed" || die 73 'scratch is full'
  return "$headed_status"
}
headed_child() {
  headed_file=$1
  shift
  {
    headed_status=0
    rclone "$@" --log-level=DEBUG 2>&1 >/dev/null || headed_status=$?
    echo "$headed_status" >"$WORK/headed"
  } | heads >>"$headed_file"
}

# heads_of LIST FILE: asks the source for the headers of the objects in a list, and
# adds what heads makes of them to the file. An object that is gone meanwhile has no
# line. One that cannot be asked for does not stop the others: HEADS_STATUS is
# rclone's exit code then.
heads_of() {
  HEADS_STATUS=0
  pieces "$1"
  heads_piece=0
  while [ "$heads_piece" -lt "$PIECES" ]; do
    heads_piece=$((heads_piece + 1))
    # shellcheck disable=SC2034 # for the caller
    headed "$2" lsf --recursive --files-only --no-traverse --files-from-raw="$WORK/piece.$heads_piece" --checkers="$CHECKERS" --retries=1 "$SOURCE_HEADED" ||
      HEADS_STATUS=$?
    [ ! -s "$WORK/stderr" ] || cat "$WORK/stderr" >>"$WORK/failures"
  done
}
