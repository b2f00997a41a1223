#!/bin/sh
# Restores the files of one claim into a mounted claim. It runs restic itself:
# K8up's own Restore reports success whatever restic said.
#
#   RESTIC_REPOSITORY, RESTIC_PASSWORD and the storage's own variables
#   HOLDFAST_SNAPSHOT HOLDFAST_SNAPSHOT_PATH HOLDFAST_SNAPSHOT_HOST HOLDFAST_TAG
#                        as for fetch.sh; the path is /data/<claim>
#   HOLDFAST_TARGET      the mounted claim, $HOLDFAST_ROOT/target by default
#   HOLDFAST_UID         whose files they are to be; 0 = whose they were; "" = not checked
#   HOLDFAST_OWNERS      "uid gid", one a line: the owners that the state names, for a word
#                        about those that have no file in the snapshot
#   HOLDFAST_OVERWRITE   "yes": write into a target that holds files already;
#                        files that are not in the snapshot stay
#
# Run it with the application's uid: only root could give files away.
set -eu
HOLDFAST_ROOT=${HOLDFAST_ROOT:-/holdfast}
. "$HOLDFAST_ROOT/bin/common.sh"
. "$HOLDFAST_ROOT/bin/missing.sh"
begin

require_tools find id jq mv restic stat
need RESTIC_REPOSITORY RESTIC_PASSWORD HOLDFAST_SNAPSHOT_PATH
TARGET=${HOLDFAST_TARGET:-$HOLDFAST_ROOT/target}
OWNER=${HOLDFAST_UID:-}
RESTIC_CACHE_DIR=${RESTIC_CACHE_DIR:-$HOLDFAST_SCRATCH/cache}
export RESTIC_CACHE_DIR
[ -z "$OWNER" ] || number HOLDFAST_UID "$OWNER"
case $TARGET in
  /*) ;;
  *) die 64 'HOLDFAST_TARGET is no absolute path' ;;
esac
case $HOLDFAST_SNAPSHOT_PATH in
  /*) ;;
  *) die 64 'HOLDFAST_SNAPSHOT_PATH is no absolute path' ;;
esac
[ -d "$TARGET" ] || die 69 "$TARGET is no folder: the claim is not mounted"
[ -w "$TARGET" ] || die 69 "$TARGET cannot be written by uid $(id -u): permission denied"

# entries: how many files, folders and links the target holds, on stdout. Names
# may hold line breaks. lost+found is the file system's own: only root may read it.
entries() {
  {
    entries_status=0
    find "$TARGET" -mindepth 1 -path "$TARGET/lost+found" -prune -o -print0 2>"$WORK/stderr" || entries_status=$?
    echo "$entries_status" >"$WORK/status"
  } | tr -dc '\000' | wc -c >"$WORK/zeros" || die 73 'scratch is full'
  read -r entries_status <"$WORK/status" || die 73 'scratch is full'
  [ "$entries_status" -eq 0 ] || failed 69 'reading the target' "$entries_status"
  read -r entries_found <"$WORK/zeros" || die 73 'scratch is full'
  echo "$entries_found"
}

"$HOLDFAST_ROOT/bin/fetch.sh" validate
attempt 65 'reading the snapshot' jq -r .id "$HOLDFAST_SCRATCH/snapshot.json" >"$WORK/id"
read -r id <"$WORK/id"

before=$(entries)
if [ "$before" -gt 0 ] && [ "${HOLDFAST_OVERWRITE:-no}" != yes ]; then
  die 65 "the target holds $before files and folders; set HOLDFAST_OVERWRITE=yes to write among them"
fi

# snapshot PROGRAM, on stdout: of restic's list of the snapshot. A million files have no
# room on scratch: jq reads them as they come. Without a lock, as below: one that a
# prune left behind on a bad day would keep us out.
snapshot() {
  bounded_tool=restic
  bounded_since=$(date +%s)
  snapshot_status=0
  {
    status=0
    bounded restic --no-lock --json ls -- "$id" 2>"$WORK/stderr" || status=$?
    echo "$status" >"$WORK/status"
  } | jq -r -n -L "$HOLDFAST_ROOT/bin" -f "$1" 2>"$WORK/jq.stderr" || snapshot_status=$?
  read -r status <"$WORK/status" || die 73 'scratch is full'
  [ "$status" -eq 0 ] || failed 69 'listing the snapshot' "$status"
  [ "$snapshot_status" -ne 0 ] || return 0
  # shellcheck disable=SC2034 # common.sh reads them
  bounded_tool=jq bounded_since=''
  mv -- "$WORK/jq.stderr" "$WORK/stderr"
  failed 65 'reading the list' "$snapshot_status"
}

# found FORMAT, on stdout: a line of each entry of the target, by stat, and "end".
found() {
  find "$TARGET" -mindepth 1 -path "$TARGET/lost+found" -prune -o -exec stat -c "$1" -- {} + 2>"$WORK/stderr" || failed 69 'reading the target' "$?"
  echo end
}

# By classes, for there are few: a line of each has what stat says, and how many.
snapshot "$HOLDFAST_ROOT/bin/classes.jq" >"$WORK/expected"
read -r expected files <"$WORK/expected"
sed 1d "$WORK/expected" >"$WORK/classes" || die 73 'scratch is full'
awk '{ n[$2 " " $3] += $4 } END { for (owner in n) print owner, n[owner] }' "$WORK/classes" >"$WORK/owners" || die 73 'scratch is full'
if [ "$files" -eq 0 ]; then
  [ -n "$HOLDFAST_ALLOW_EMPTY" ] || die 65 'the snapshot holds no file'
  say "empty, which is allowed: $HOLDFAST_ALLOW_EMPTY"
elif [ "$files" -lt "$HOLDFAST_MIN_COUNT" ]; then
  die 65 "the snapshot holds $files files, fewer than $HOLDFAST_MIN_COUNT"
fi
lines "${HOLDFAST_OWNERS:-}" >"$WORK/named"
while read -r user group <&3; do
  grep -q "^$user $group " "$WORK/owners" || say "no entry of the snapshot belongs to $user:$group, which the state names"
done 3<"$WORK/named"
# Only root can give files to others: all would be ours, and the application could
# not use them.
if [ -n "$OWNER" ] && [ "$OWNER" -ne 0 ] && [ "$expected" -gt 0 ]; then
  ours=$(awk -v uid="$OWNER" '$1 == uid { n += $3 } END { print n + 0 }' "$WORK/owners") || die 69 'awk failed'
  [ "$ours" -gt 0 ] ||
    die 65 "all $expected entries belonged to another uid than $OWNER ($(tr '\n' ';' <"$WORK/owners")): restore with theirs"
  [ "$ours" -eq "$expected" ] || say "$((expected - ours)) of $expected entries belonged to another uid than $OWNER"
fi

# One entry that cannot be written does not stop the others: restic names it, and
# goes on. As JSON, for a name may look like a message.
restored=0
bounded restic --no-lock --quiet --json restore --sparse --exclude=/lost+found --target="$TARGET" -- "$id:$HOLDFAST_SNAPSHOT_PATH" \
  >"$WORK/out" 2>"$WORK/stderr" || restored=$?
[ "$restored" -eq 0 ] || grep -q 'There were [0-9]* errors' "$WORK/stderr" || failed 69 'restic restore' "$restored"
mv -- "$WORK/stderr" "$WORK/said" || die 73 'scratch cannot be written'
attempt 73 'writing to scratch' jq -rR -f "$HOLDFAST_ROOT/bin/refused.jq" "$WORK/said" >"$WORK/refused"
# What is no message of an entry is a warning, such as of a server that was away.
attempt 73 'writing to scratch' jq -rR -f "$HOLDFAST_ROOT/bin/warnings.jq" "$WORK/said" >"$WORK/warnings"
# Each error that restic counts has a message of its own.
[ "$restored" -eq 0 ] || [ -s "$WORK/refused" ] || die 69 'restic restore failed, and says of nothing why'

[ ! -s "$WORK/warnings" ] || masked "$WORK/warnings" >&2

found '%f %u %g' | awk -f "$HOLDFAST_ROOT/bin/classes.awk" >"$WORK/now" || die 69 'the target cannot be read'
# In a target that held files before, there may be more of each.
awk -v before="$before" -f "$HOLDFAST_ROOT/bin/complete.awk" \
  pass=1 "$WORK/now" pass=2 "$WORK/classes" && complete=yes || complete=no
if [ "$complete" = no ]; then
  # Which ones: here the names are needed. One with a line break, or with bytes that
  # are no text, is not told apart here; it is counted.
  {
    snapshot "$HOLDFAST_ROOT/bin/paths.jq" && found 'A %f %u %g %n'
  } | awk -v strip="${#TARGET}" -f "$HOLDFAST_ROOT/bin/differ.awk" >"$WORK/differ" || die 69 'what differs cannot be told'
  awk -F '\t' 'pass == 1 { told[$1] = 1; next } !($1 in told)' pass=1 "$WORK/refused" pass=2 "$WORK/differ" >"$WORK/more" || die 69 'awk failed'
  cat -- "$WORK/more" >>"$WORK/refused" || die 73 'scratch is full'
  # Nothing that has a name is missing, but the numbers say that something is.
  after=$(entries)
  told=$(count_lines '' "$WORK/refused")
  if [ "$told" -eq 0 ] || { [ "$before" -eq 0 ] && { [ "$after" -gt "$expected" ] || [ "$((after + told))" -lt "$expected" ]; }; }; then
    missing "$TARGET" "it holds $after entries, the snapshot $expected, and their owners and modes are not the same"
  fi
fi
# Of an entry, the first reason is the one.
awk -F '\t' '!told[$1]++' "$WORK/refused" >"$WORK/once" || die 73 'scratch is full'
while IFS=$TAB read -r item why <&3; do
  left_out "$item" || missing "$item" "$why"
done 3<"$WORK/once"
settle_missing
say "restored: $expected entries, $files files"
