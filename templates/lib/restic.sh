#!/bin/sh
# restic.sh [ARG…] stands where K8up looks for restic (RESTIC_BINARY), and runs the
# real one. K8up 2.15 stores what it should not, and is content where it should not
# be:
#
# When a dump fails, it closes the stream like one that has ended, and gives up a
# moment later (restic/kubernetes/pod_exec.go). If restic is faster, an empty or cut
# copy is stored. So the end of a dump is looked for before restic may store it.
#
# When the pod of a dump has vanished, it finds nothing to do, lists the snapshots
# (restic/cli/backup.go) and succeeds. So a job that was to store a dump and did not
# is ended here.
set -eu
STORED=${TMPDIR:-/tmp}/holdfast-stored

stdin=no
for argument; do
  shift
  if [ "$argument" = --stdin ]; then
    stdin=yes
  else
    set -- "$@" "$argument"
  fi
done

if [ "$stdin" = yes ]; then
  # restic gives a command of its own no stdin; a further descriptor is passed on.
  exec 3<&0
  restic "$@" --stdin-from-command -- /holdfast/bin/whole.sh </dev/null
  : >"$STORED"
  exit 0
fi

# TARGET_PODS are the pods whose dumps this job is to store.
if [ "${1:-}" = snapshots ] && [ -n "${TARGET_PODS:-}" ] && [ ! -e "$STORED" ]; then
  echo "holdfast: no dump was stored: the pod $TARGET_PODS is gone, or was never ready. Start the backup again." >&2
  # K8up only logs what we say, and TERM would end it well.
  kill -HUP "$PPID"
  exit 1
fi
exec restic "$@"
