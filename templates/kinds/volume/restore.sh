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
# shellcheck disable=SC2016 # jq has variables of its own
set -eu
HOLDFAST_ROOT=${HOLDFAST_ROOT:-/holdfast}
# shellcheck source=/dev/null
. "$HOLDFAST_ROOT/bin/common.sh"

require_tools find id jq mv restic
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
    find "$TARGET" -mindepth 1 -path "$TARGET/lost+found" -prune -o "$@" -print0 2>"$WORK/stderr" || entries_status=$?
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

# Both without a lock: one that a prune left behind on a bad day would keep us out.
# The list of a million files has no room on scratch: jq reads it as it comes.
bounded_tool=restic
bounded_since=$(date +%s)
listed=0
{
  status=0
  bounded restic --no-lock --json ls -- "$id" 2>"$WORK/stderr" || status=$?
  echo "$status" >"$WORK/status"
} | jq -r -n '
  (env.HOLDFAST_SNAPSHOT_PATH | rtrimstr("/")) as $root
  | reduce (inputs | select(.struct_type == "node" or .message_type == "node")
            | select(.path | startswith($root + "/"))
            | select(.path | (. == $root + "/lost+found" or startswith($root + "/lost+found/")) | not)) as $node
      ({entries: 0, files: 0, owners: {}};
       .entries += 1
       | if $node.type == "file" then .files += 1 else . end
       | .owners["\($node.uid // 0) \($node.gid // 0)"] += 1)
  | "\(.entries) \(.files)", (.owners | to_entries[] | "\(.key) \(.value)")' >"$WORK/expected" 2>"$WORK/jq.stderr" || listed=$?
read -r status <"$WORK/status" || die 73 'scratch is full'
[ "$status" -eq 0 ] || failed 69 'listing the snapshot' "$status"
if [ "$listed" -ne 0 ]; then
  # shellcheck disable=SC2034 # common.sh reads them
  bounded_tool=jq bounded_since=''
  mv -- "$WORK/jq.stderr" "$WORK/stderr"
  failed 65 'reading the list' "$listed"
fi
read -r expected files <"$WORK/expected"
sed 1d "$WORK/expected" >"$WORK/owners" || die 73 'scratch is full'
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

attempt 69 'restic restore' restic --no-lock restore --exclude=/lost+found --target="$TARGET" -- "$id:$HOLDFAST_SNAPSHOT_PATH" >"$WORK/out"

after=$(entries)
if [ "$before" -eq 0 ]; then
  [ "$after" -eq "$expected" ] || die 65 "the target holds $after entries, the snapshot $expected"
else
  [ "$after" -ge "$expected" ] || die 65 "the target holds $after entries, the snapshot $expected"
fi
if [ -n "$OWNER" ] && [ "$OWNER" -ne 0 ]; then
  foreign=$(entries ! -user "$OWNER")
  [ "$foreign" -eq 0 ] || die 65 "$foreign entries in the target do not belong to uid $OWNER; restore with that uid"
elif [ -n "$OWNER" ]; then
  while read -r user group count <&3; do
    have=$(entries -user "$user" -group "$group")
    if [ "$have" -lt "$count" ] || { [ "$before" -eq 0 ] && [ "$have" -ne "$count" ]; }; then
      die 65 "$have entries in the target belong to $user:$group, in the snapshot $count"
    fi
  done 3<"$WORK/owners"
fi
say "restored: $expected entries, $files files"
