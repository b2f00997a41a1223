#!/bin/sh
# crypt.sh is sourced, after common.sh, by the scripts that copy buckets: the
# crypt remote, and rclone run so that a signal stops it at once.

require_tools cmp rclone sha256sum sort
need HOLDFAST_BACKUP CRYPT_PASSWORD CANARY_PATH CANARY_SHA256
# shellcheck disable=SC2153 # from the environment
one_line CRYPT_PASSWORD "$CRYPT_PASSWORD"
one_line CRYPT_PASSWORD2 "${CRYPT_PASSWORD2:-}"
case $CANARY_PATH in
  /* | current | current/* | history | history/* | unfinished | unfinished/*) die 64 'CANARY_PATH is absolute, or part of the copy' ;;
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

# An older rclone reads a backup with a wrong password as empty, without an error,
# or cannot say what it would replace. It would fail later, after a first write.
rclone sync --help --crypt-strict-names --differ="$WORK/differ" >/dev/null 2>&1 ||
  die 69 "rclone is older than 1.66 in $HERE, or cannot run there"

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
}

# roomy: die if scratch is full. rclone does not always notice that part of what it
# writes is lost, and a short list must not pass for a whole one.
roomy() {
  head -c 65536 </dev/zero 2>/dev/null >"$WORK/room" || die 73 'scratch is full'
  rm -f -- "$WORK/room"
}

# rclone_status COMMAND [ARG…]: rclone in the background; its exit code.
rclone_status() {
  run_child rclone "$@" 2>"$WORK/stderr"
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
    2) run_code=64 ;;
    3) say 'a bucket or folder does not exist' ;;
    5) say 'a temporary fault; the next run takes up where this one stopped' ;;
    7)
      run_code=65
      say 'stopped: more would be replaced or removed than is allowed; the copy is not whole until a run succeeds'
      ;;
    10) say 'stopped: no time left; the next run takes up where this one stopped' ;;
  esac
  failed "$run_code" "$run_what" "$run_status"
}

# measure REMOTE WHAT [OPTION…]: sets COUNT and BYTES. A folder of the backup
# that does not exist yet is empty; a missing source is an error.
measure() {
  measure_remote=$1
  measure_what=$2
  shift 2
  measure_status=0
  rclone_status size --json --crypt-strict-names "$@" "$measure_remote" >"$WORK/size" || measure_status=$?
  if [ "$measure_status" -eq 3 ]; then
    case $measure_remote in
      enc:*)
        COUNT=0 BYTES=0
        return 0
        ;;
      *) say "$measure_remote does not exist" ;;
    esac
  fi
  [ "$measure_status" -eq 0 ] || failed 69 "$measure_what" "$measure_status"
  roomy
  COUNT=$(sed -n 's/.*"count": *\([0-9][0-9]*\).*/\1/p' "$WORK/size")
  BYTES=$(sed -n 's/.*"bytes": *\([0-9][0-9]*\).*/\1/p' "$WORK/size")
  number "$measure_what" "$COUNT"
  number "$measure_what" "$BYTES"
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
  roomy
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
  roomy
  case $stamps_status in
    0) ;;
    3) : >"$WORK/listed" ;;
    *) failed 69 "listing $1" "$stamps_status" ;;
  esac
  sed -n 's|^\([0-9]\{8\}T[0-9]\{6\}Z\)/\{0,1\}$|\1|p' "$WORK/listed" >"$WORK/stamps" || die 73 'scratch is full'
  sort <"$WORK/stamps" >"$WORK/$1" || die 73 'scratch is full'
}
