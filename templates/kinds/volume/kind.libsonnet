local states = import '../../lib/state.libsonnet';

// Nobody knows which claims a pattern stands for before they are there, so the
// state lets one be skipped only.
local skipped(state, entry) =
  local volume = entry.value;
  local namespace = std.get(volume, 'namespace', state.namespace);
  {
    id: 'volume/' + volume.claimPattern,
    covers: [entry.pointer],
    namespace: namespace,
    need: volume.backup,
    reason: volume.reason,
    capture: { how: 'volume', claim: volume.claimPattern, source: 'claim:' + namespace + '/' + volume.claimPattern },
    expect: {},
  };

local unit(state, entry) =
  local volume = entry.value;
  local namespace = std.get(volume, 'namespace', state.namespace);
  // In an order of their own: the state's is of no meaning.
  local owners = std.sort(std.get(volume, 'owners', []), function(owner) [owner.uid, owner.gid]);
  local several = std.length(owners) > 0;
  {
    id: 'volume/' + volume.claim,
    covers: [entry.pointer],
    namespace: namespace,
    need: volume.backup,
    [if std.objectHas(volume, 'reason') then 'reason']: volume.reason,
    capture: {
               how: 'volume',
               claim: volume.claim,
               source: 'claim:' + namespace + '/' + volume.claim,
               env: { HOLDFAST_CLAIM: volume.claim } + (
                 if several then { HOLDFAST_OWNERS: std.join('\n', [owner.uid + ' ' + owner.gid for owner in owners]) } else {}
               ),
             } + (if std.objectHas(volume, 'workload') then { workload: volume.workload } else {}) +
             (if std.objectHas(volume, 'owner') then { uid: volume.owner.uid, gid: volume.owner.gid } else {}) +
             (if several then { owners: owners } else {}) +
             (if std.objectHas(volume, 'liveFiles') then { liveReason: volume.liveFiles.reason } else {}) +
             (if std.objectHas(volume, 'runAsRoot') then { rootReason: volume.runAsRoot.reason } else {}),
    // Files that cannot be read are missing from the copy under a green status:
    // only a count tells.
    expect: { minCount: std.get(volume, 'minFiles', 1) },
    limits: (
      if std.all([mode == 'ReadOnlyMany' for mode in volume.accessModes])
      then ['the claim is read-only: a restore needs another one'] else []
    ) + ['files are read while the application runs: the copy is what a power failure would have left'] + (
      if std.objectHas(volume, 'runAsRoot') then ['root reads all files, but not on storage that makes nobody of root, such as NFS with root_squash']
      else ['files that the owner named in the state may not read are left out, and K8up does not say so']
    ),
  };

{
  units(state): [
    if std.objectHas(entry.value, 'claimPattern') then skipped(state, entry) else unit(state, entry)
    for entry in states.each(state, '/volumes')
  ],
}
