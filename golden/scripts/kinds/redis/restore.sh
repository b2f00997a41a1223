#!/bin/sh
# Brings a copy of dump.sh back into a running server. A server of this pod, which
# nobody else reaches, loads the copy and writes it as commands (AOF); those are sent
# to the target. Then the keys of both are compared: each must be there, with its type,
# its number of elements, and a time to expire where it had one.
#
#   HOLDFAST_INPUT       the copy
#   REDIS_HOST REDIS_PORT REDIS_USER REDISCLI_AUTH REDIS_TLS   see connect.sh
#   HOLDFAST_OVERWRITE   "yes": delete all that the target holds first
#   HOLDFAST_LEAVE_OUT   shell patterns of items that are not to come back, one a line:
#                        key DATABASE/NAME
#
# A target with keys or functions is refused, unless HOLDFAST_OVERWRITE is "yes".
# Nothing is changed before the copy was loaded. Keys whose time is over do not come back.
set -eu
HOLDFAST_ROOT=${HOLDFAST_ROOT:-/holdfast}
. "$HOLDFAST_ROOT/bin/common.sh"
. "$HOLDFAST_ROOT/bin/missing.sh"
begin

require_tools ln mv redis-cli redis-server sleep sort uniq
INPUT=${HOLDFAST_INPUT:-$HOLDFAST_SCRATCH/input}
[ -f "$INPUT" ] || die 64 "$INPUT is absent"
. "$HOLDFAST_ROOT/bin/connect.sh"

# The server of this pod.
LOADED=$WORK/loaded
SOCKET=$WORK/socket
SERVER=
finish() {
  [ -z "$SERVER" ] || kill -KILL "$SERVER" 2>/dev/null || :
}

# loaded COMMAND…: asks it. It has no password, and must not be told one.
loaded() {
  (
    unset REDISCLI_AUTH
    attempt 65 'asking the server that loaded the copy' redis-cli -e -s "$SOCKET" "$@" </dev/null
  )
}

# field NAME, on stdin what INFO says: the value.
field() { sed -n "s/^$1:\([^,]*\).*$/\1/p" | tr -d '\r'; }

# databases, on stdin what INFO keyspace says: the numbers of those with keys.
databases() { sed -n 's/^db\([0-9]*\):.*$/\1/p'; }

# wait_until WHAT CONDITION…: within the deadline, while the server of this pod runs.
wait_until() {
  wait_what=$1 wait_since=$(date +%s)
  shift
  until "$@"; do
    if ! kill -0 "$SERVER" 2>/dev/null; then
      tail -n 6 <"$WORK/server.log" >"$WORK/stderr"
      failed 65 "$wait_what" 1
    fi
    [ "$HOLDFAST_DEADLINE" -eq 0 ] || [ "$(($(date +%s) - wait_since))" -lt "$HOLDFAST_DEADLINE" ] ||
      die 69 "$wait_what did not end within $HOLDFAST_DEADLINE s"
    sleep 1
  done
}

serves() {
  (unset REDISCLI_AUTH && redis-cli -e -s "$SOCKET" PING 2>/dev/null </dev/null) | grep -qx PONG
}

written() {
  loaded INFO persistence >"$WORK/persistence"
  [ "$(field aof_rewrite_in_progress <"$WORK/persistence")" = 0 ] && [ "$(field aof_rewrite_scheduled <"$WORK/persistence")" = 0 ]
}

# A line for each key of a SCAN: its name in hexadecimal digits, type, number of
# elements, milliseconds to live. Before them the cursor of the next SCAN.
KEYS='
local size = {string = "STRLEN", list = "LLEN", set = "SCARD", hash = "HLEN", zset = "ZCARD", stream = "XLEN"}
local found = redis.call("SCAN", ARGV[1], "COUNT", 1000)
local out = {found[1]}
for _, key in ipairs(found[2]) do
  local kind = redis.call("TYPE", key).ok
  local n = size[kind] and redis.call(size[kind], key) or 0
  local hex = string.gsub(key, ".", function (c) return string.format("%02x", string.byte(c)) end)
  out[#out + 1] = hex .. " " .. kind .. " " .. n .. " " .. redis.call("PTTL", key)
end
return out'

# keys FILE DATABASE ASK…: appends "database name type elements time" of each key that
# is in that database of the server that ASK asks.
keys() {
  keys_file=$1 keys_database=$2
  shift 2
  keys_cursor=0
  while :; do
    "$@" -n "$keys_database" EVAL "$KEYS" 0 "$keys_cursor" >"$WORK/page"
    read -r keys_cursor <"$WORK/page" || die 69 'listing the keys: no answer'
    number 'the cursor' "$keys_cursor"
    sed -n "2,\$s/^[0-9a-f]* [a-z]/$keys_database &/p" "$WORK/page" >>"$keys_file" || die 73 'scratch is full'
    [ "$keys_cursor" -ne 0 ] || return 0
  done
}

target() { attempt 69 'asking the target' redis-cli "$@" </dev/null; }

# An awk function: plain(HEX) is a name as it stands in a list.
# shellcheck disable=SC2016 # awk's own variables
PLAIN='
function digit(hex, i) { return index("0123456789abcdef", substr(hex, i, 1)) - 1 }
function plain(hex, i, c, s) {
  s = ""
  for (i = 1; i < length(hex); i += 2) { c = digit(hex, i) * 16 + digit(hex, i + 1); s = s (c < 32 || c == 127 ? "?" : sprintf("%c", c)) }
  return s
}'

alone "$@"
[ "$(field role <"$WORK/info")" = master ] || die 69 'the target is a replica: restore into its master'

# The commands may be five times as large as the copy: kind.json has room for both.
# shellcheck disable=SC3045 # dash and busybox have soft limits
[ "$HOLDFAST_FILE_BYTES" -eq 0 ] || ulimit -S -f "$(((5 * HOLDFAST_FILE_BYTES + 511) / 512))"

# Load the copy.
mkdir -- "$LOADED" || die 73 'scratch cannot be written'
case $INPUT in
  /*) ln -s -- "$INPUT" "$LOADED/dump.rdb" || die 73 'scratch cannot be written' ;;
  *) die 64 'HOLDFAST_INPUT is no absolute path' ;;
esac
(
  unset REDISCLI_AUTH
  exec redis-server --port 0 --unixsocket "$SOCKET" --unixsocketperm 700 --dir "$LOADED" --dbfilename dump.rdb --databases 4096 \
    --save '' --aof-use-rdb-preamble no --daemonize no --logfile ''
) >"$WORK/server.log" 2>&1 </dev/null &
SERVER=$!
wait_until 'loading the copy' serves
loaded INFO keyspace >"$WORK/copied"
databases <"$WORK/copied" >"$WORK/databases"

# What the target has, and whether it can take the copy. redis-cli -n would say
# nothing of a database that is not there, and go on in another.
while read -r database; do
  target "$@" SELECT "$database" >"$WORK/selected"
done <"$WORK/databases"
databases <"$WORK/info" >"$WORK/taken"
target "$@" FUNCTION LIST >"$WORK/functions"
if [ -s "$WORK/taken" ] || grep -q '^library_name' "$WORK/functions"; then
  [ "${HOLDFAST_OVERWRITE:-no}" = yes ] ||
    die 65 'the target has keys or functions: set HOLDFAST_OVERWRITE=yes to delete all that it holds first'
fi

if [ -n "$HOLDFAST_LEAVE_OUT" ]; then
  : >"$WORK/all"
  while read -r database; do
    keys "$WORK/all" "$database" loaded
  done <"$WORK/databases"
  awk -v OFS='\t' "$PLAIN"'{ print $1, $2, plain($2) }' "$WORK/all" >"$WORK/names" || die 73 'scratch is full'
  while IFS=$TAB read -r database hex name; do
    ! left_out "key $database/$name" || printf '%s %s\n' "$database" "$hex"
  done <"$WORK/names" >"$WORK/unwanted"
  # Of commands on stdin redis-cli reads \x61 as a byte, inside of quotes.
  awk '{ gsub(/../, "\\x&", $2); print "SELECT " $1; print "DEL \"" $2 "\"" }' "$WORK/unwanted" >"$WORK/delete" || die 73 'scratch is full'
  (
    unset REDISCLI_AUTH
    attempt 65 'leaving keys out' redis-cli -e -s "$SOCKET" >"$WORK/deleted" <"$WORK/delete"
  )
fi

# The copy as commands.
loaded BGREWRITEAOF >"$WORK/started"
wait_until 'writing the copy as commands' written
if [ "$(field aof_last_bgrewrite_status <"$WORK/persistence")" != ok ]; then
  tail -n 6 <"$WORK/server.log" >"$WORK/stderr"
  failed 65 'writing the copy as commands' 1
fi
mv -- "$LOADED"/appendonlydir/*.base.aof "$WORK/commands" || die 65 'the copy was not written as commands'

if [ "${HOLDFAST_OVERWRITE:-no}" = yes ]; then
  target "$@" FLUSHALL SYNC >"$WORK/flushed"
  target "$@" FUNCTION FLUSH SYNC >"$WORK/flushed"
fi
replay_status=0
bounded redis-cli "$@" --pipe --pipe-timeout 0 >"$WORK/replies" 2>"$WORK/stderr" <"$WORK/commands" || replay_status=$?
if [ "$replay_status" -ne 0 ]; then
  grep -q '^errors: [1-9]' "$WORK/replies" || failed 69 'sending the copy to the target' "$replay_status"
  # An answer may quote the data.
  sed 's/, with args beginning with:.*//' "$WORK/stderr" | sort | uniq -c >"$WORK/answers" || die 73 'scratch is full'
  while read -r times answer; do
    missing "$times commands" "the target says: $answer"
  done <"$WORK/answers"
fi

# What is there now. The pod's own server is asked last: what expires meanwhile is in
# neither list. What is about to may be gone in one of them.
: >"$WORK/there"
: >"$WORK/wanted"
while read -r database; do
  keys "$WORK/there" "$database" target "$@"
done <"$WORK/databases"
while read -r database; do
  keys "$WORK/wanted" "$database" loaded
done <"$WORK/databases"
awk -v OFS='\t' "$PLAIN"'
  FILENAME == ARGV[1] { kind[$1, $2] = $3; n[$1, $2] = $4; expires[$1, $2] = ($5 >= 0); next }
  $5 >= 0 && $5 < 60000 { next }
  {
    why = ""
    if (!(($1, $2) in n)) why = "it is not there"
    else if (kind[$1, $2] != $3 || n[$1, $2] != $4) why = "it is a " kind[$1, $2] " of " n[$1, $2] " there, and a " $3 " of " $4 " in the copy"
    else if (expires[$1, $2] != ($5 >= 0)) why = ($5 >= 0 ? "it would never expire" : "it would expire")
    if (why != "") print "key " $1 "/" plain($2), why
  }' "$WORK/there" "$WORK/wanted" >"$WORK/differ" || die 73 'scratch is full'
while IFS=$TAB read -r item why; do
  missing "$item" "$why"
done <"$WORK/differ"
settle_missing
say "$(count_lines '' "$WORK/wanted") keys are back"
