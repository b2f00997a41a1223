local source = import '../../lib/source.libsonnet';

local unit(state, volume, v) =
  local namespace = std.get(volume, 'namespace', state.namespace);
  {
    id: 'volume/' + volume.claim,
    covers: ['/volumes/' + v],
    namespace: namespace,
    need: volume.backup,
    [if std.objectHas(volume, 'reason') then 'reason']: volume.reason,
    capture: {
               how: 'volume',
               claim: volume.claim,
               source: 'claim:' + namespace + '/' + volume.claim,
               env: { HOLDFAST_CLAIM: volume.claim },
             } + (if std.objectHas(volume, 'workload') then { workload: volume.workload } else {}) +
             (if std.objectHas(volume, 'owner') then { uid: volume.owner.uid, gid: volume.owner.gid } else {}) +
             (if std.objectHas(volume, 'runAsRoot') then { rootReason: volume.runAsRoot.reason } else {}),
    // Files that cannot be read are missing from the copy under a green status:
    // only a count tells.
    expect: { minCount: std.get(volume, 'minFiles', 1) },
    limits: (
      if std.all([mode == 'ReadOnlyMany' for mode in volume.accessModes])
      then ['the claim is read-only: a restore needs another one'] else []
    ) + ['files are read while the application runs: the copy is what a power failure would have left'],
  };

{
  units(state):
    local volumes = std.get(state, 'volumes', []);
    [unit(state, volumes[v], v) for v in std.range(0, std.length(volumes) - 1)],

  objects(item): source.volume(item),

  restore(item, request): source.restoreJob(
    item,
    request,
    rbac=[],
    mounts=[{ name: 'target', mountPath: '/holdfast/target' }],
    volumes=[{ name: 'target', persistentVolumeClaim: { claimName: item.capture.claim } }],
  ),
}
