// What every unit has, whatever its kind: lock, account, roles, connections.
local k8s = import '../lib/k8s.libsonnet';
local network = import 'network.libsonnet';

// A lock has no data in Git: its data is the lock. IfNotPresent keeps Flux from
// taking it back. The lock of a source that is gone is pruned with it.
local lock(name, namespace, labels) = {
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: {
    name: name,
    namespace: namespace,
    labels: labels,
    annotations: { 'kustomize.toolkit.fluxcd.io/ssa': 'IfNotPresent' },
  },
};

// fetches says whether a restore of the unit fetches a dump: not of volumes and buckets.
local fetches(item) = std.member(['dump', 'exec'], item.capture.how);

{
  // base is what stands before the unit runs: the preflight and the restore need
  // it, too. The preflight asks for the unit's rights through its own Role.
  base(plan, item)::
    local preflight = plan.prefix + '-preflight';
    [lock(item.lock, item.namespace, item.labels)] +
    (
      if item.serviceAccount != item.name then []
      else [k8s.serviceAccount(name=item.name, namespace=item.namespace, labels=item.labels)]
    ) +
    k8s.roleFor(
      name=item.name,
      namespace=item.namespace,
      labels=item.labels,
      accounts=[item.serviceAccount, preflight],
      rules=std.get(item, 'rbac', []),
    ) +
    k8s.clusterRoleFor(
      name=item.name,
      namespace=item.namespace,
      labels=item.labels,
      accounts=[{ name: name, namespace: item.namespace } for name in [item.serviceAccount, preflight]],
      rules=std.get(item, 'clusterRbac', []),
    ) +
    network.admission(plan, item),

  objects(plan, item):: network.unit(plan, item),

  // request is what a rendered restore asks for: the newest copy. Whoever
  // restores sets another snapshot or time here, on purpose and in sight.
  request(item):: {
    HOLDFAST_INPUT: '/holdfast/scratch/restore/dump',
    HOLDFAST_OVERWRITE: 'no',
    HOLDFAST_LEAVE_OUT: '',
    HOLDFAST_TARGET: '/holdfast/target',
    HOLDFAST_UID: std.toString(item.uid),
  } + (
    if item.engine == 'restic' then {
      HOLDFAST_SNAPSHOT: 'latest',
      HOLDFAST_SNAPSHOT_HOST: item.expectedSnapshots[0].host,
      HOLDFAST_SNAPSHOT_PATH: item.expectedSnapshots[0].path,
      HOLDFAST_TAG: item.id,
    } else { HOLDFAST_AT: 'latest' }
  ),

  restoreObjects(plan, item):: network.restore(plan, item),

  // scriptFiles: one ConfigMap for each kind and namespace, so that a changed
  // script is one change in the diff.
  scriptFiles(plan, items, scripts, shared, repository):: [
    {
      path: repository + namespace + '/scripts-' + kind + '.yaml',
      objects: [
        k8s.first(k8s.configMap(
          name=used[0].scripts,
          namespace=namespace,
          labels=plan.labels,
          data=scripts[kind] + shared['guard.sh'] + shared['tools.sh'] +
               (if std.length([item for item in used if fetches(item)]) > 0 then shared['fetch.sh'] else {}),
        )),
      ],
    }
    for namespace in plan.namespaces
    for kind in std.objectFields(scripts)
    for used in [[item for item in items if item.kind == kind && item.namespace == namespace]]
    if std.length(used) > 0
  ],

  // shared: the account without rights.
  shared(plan, namespace):: [k8s.serviceAccount(name=plan.prefix + '-backup', namespace=namespace, labels=plan.labels)],

  // sharedBase: the lock that stops all units, and the CA of the copies' storage.
  sharedBase(plan, namespace):: [lock(plan.instanceLock, namespace, plan.labels)] + (
    local copies = [item.copy for item in plan.units if item.namespace == namespace && std.objectHas(item, 'copy')];
    if std.length(copies) == 0 || copies[0].ca == '' then []
    else [k8s.configMap(name=copies[0].ca, namespace=namespace, labels=plan.labels, data={ 'ca.crt': plan.caPem.rclone })]
  ),
}
