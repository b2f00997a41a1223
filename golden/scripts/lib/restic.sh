#!/bin/sh
# restic.sh [ARG…] stands where K8up looks for restic (RESTIC_BINARY), and runs the
# real one. K8up 2.15 stores what it should not, and is content where it should not
# be:
#
# When a dump fails, it closes the stream like one that has ended, and gives up a
# moment later (restic/kubernetes/pod_exec.go). If restic is faster, an empty or cut
# copy is stored. So the end of a dump is looked for before restic may store it.
#
# When the pod of a dump has vanished, it finds nothing to do, lists the snapshots as
# it does at every end (restic/cli/backup.go), and succeeds. So a job that was to store
# something and did not is ended here. It lists them at its begin as well, after "init".
set -eu
STORED=${TMPDIR:-/tmp}/holdfast-stored
BEGUN=${TMPDIR:-/tmp}/holdfast-begun

stdin=no
for argument; do
  shift
  if [ "$argument" = --stdin ]; then
    stdin=yes
  else
    set -- "$@" "$argument"
  fi
done

if [ "${1:-}" = backup ]; then
  status=0
  if [ "$stdin" = yes ]; then
    # restic gives a command of its own no stdin, and may lose what it says; further
    # descriptors are passed on.
    exec 3<&0 5>&2
    restic "$@" --stdin-from-command -- /holdfast/bin/whole.sh </dev/null || status=$?
  else
    restic "$@" || status=$?
  fi
  # 3: some files could not be read, all others are stored.
  case $status in
    0 | 3) : >"$STORED" ;;
  esac
  exit "$status"
fi

# TARGET_PODS are the pods of this job: those to dump from, or the one that mounts the claim.
case ${TARGET_PODS:+${1:-}} in
  init) rm -f "$BEGUN" ;; # of an attempt before this one
  snapshots)
    if [ -e "$BEGUN" ] && [ ! -e "$STORED" ]; then
      # Into K8up's own log: it has no time to write what we would tell it.
      why="holdfast: nothing was stored: the pod $TARGET_PODS is gone, or was never ready. Start the backup again."
      { echo "$why" >"/proc/$PPID/fd/2"; } 2>/dev/null || echo "$why" >&2
      # TERM would end it well. Whatever we end with, it goes on to its good end, and on a
      # busy node it is there before the signal: so it is not given back. HUP is nothing
      # to a runtime that was started to ignore it.
      kill -HUP "$PPID"
      waited=0
      while kill -0 "$PPID" 2>/dev/null; do
        sleep 1
        waited=$((waited + 1))
        [ "$waited" -ne 10 ] || kill -ABRT "$PPID"
      done
      exit 1
    fi
    : >"$BEGUN"
    ;;
esac
exec restic "$@"
