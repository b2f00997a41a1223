// The preflight: a Job in the first stage that starts each image that backups and
// restores of a namespace use, as the user they run as, and tries what they need.
// One pod, in which each trial is an init container: so requests do not add up,
// and the last container has all findings to print.
local k8s = import '../lib/k8s.libsonnet';
local k8up = import '../lib/k8up.libsonnet';
local rclone = import '../lib/rclone.libsonnet';
local network = import 'network.libsonnet';

local findingsMount = { name: 'findings', mountPath: '/holdfast/findings' };
local preflightMount = { name: 'preflight', mountPath: '/holdfast/preflight', readOnly: true };

// volume gives a volume another name: a pod may have the files of many units.
local volume(name, volumes) = [v { name: name } for v in volumes];
local mount(name, mounts) = [m { name: name } for m in mounts];

// secrets are environment from Secrets that may be missing: then the trial says
// so, where kubelet would wait for them without a word.
local secrets(env) = [
  { name: e.name, valueFrom: { secretKeyRef: e.valueFrom.secretKeyRef { optional: true } } }
  for e in env
];
local filesVolume(item) = [
  v {
    projected: {
      defaultMode: v.projected.defaultMode,
      sources: [
        { [kind]: source[kind] { optional: true } for kind in std.objectFields(source) }
        for source in v.projected.sources
      ],
    },
  }
  for v in k8s.filesVolume(std.get(item.capture, 'files', []))
];

// security of a trial: the pod's own is that of nobody.
local security(trial) =
  if trial.root then k8s.rootRestorer { runAsNonRoot: false, runAsUser: 0, runAsGroup: 0 }
  else if trial.uid == 65532 && trial.gid == 65532 then k8s.restrictedContainer
  else k8s.restrictedContainer { runAsUser: trial.uid, runAsGroup: trial.gid };

local container(plan, trial, what, env, envFrom, mounts) = k8s.container(
  name=trial.name,
  image=trial.image,
  command=['/holdfast/preflight/preflight.sh', what],
  env=env + [{ name: 'HOLDFAST_TRIAL', value: trial.name }],
  envFrom=envFrom,
  mounts=[preflightMount, findingsMount, k8s.scratchMount, if what == 'tools' then k8s.toolsMount else k8s.copiedTools] + mounts,
  resources=plan.platform.resources.tool,
  security=security(trial),
);

// cluster has the repository's environment as well, if there is one.
local cluster(plan, preflight, trial) =
  local repositories = [r for r in std.objectValues(plan.repositories) if r.namespace == preflight.namespace];
  local storage = if std.length(repositories) == 0 then { ca: '' } else repositories[0];
  container(
    plan,
    trial,
    'cluster',
    env=(if std.length(repositories) == 0 then [] else secrets(k8up.resticSecrets(storage)) + k8s.entries(k8up.resticValues(storage))) +
        k8s.entries(preflight.values),
    envFrom=[],
    mounts=mount('ca-restic', k8up.caMount(storage)),
  );

// unit has the environment, Secrets and files of its unit. Claims are in use by
// the applications, and are not mounted.
local unit(plan, trial, item, values) =
  local copies = std.objectHas(item, 'copy');
  container(
    plan,
    trial,
    'unit',
    env=secrets(k8s.secretEnv(item.secretEnv) + (if copies then rclone.backupSecrets(item.copy) else [])),
    envFrom=k8s.fromConfigMaps([name for name in [item.name] if std.member(values, name)]),
    mounts=mount('scripts-' + item.kind, [k8s.scriptsMount]) +
           mount('files-' + trial.name, k8s.filesMount(std.get(item.capture, 'files', []))) +
           (if copies then mount('ca-rclone', k8up.caMount(item.copy)) else []),
  );

local claims(plan, trial) = container(
  plan,
  trial,
  'unit',
  env=k8s.entries(trial.values),
  envFrom=[],
  mounts=mount('scripts-' + trial.kind, [k8s.scriptsMount]),
);

// once keeps the first of each name.
local once(volumes) = std.foldl(
  function(kept, v) if std.member([k.name for k in kept], v.name) then kept else kept + [v],
  volumes,
  [],
);

local job(plan, preflight, items, values, digest) =
  local labels = preflight.labels;
  local trials = preflight.trials;
  local repositories = [r for r in std.objectValues(plan.repositories) if r.namespace == preflight.namespace];
  local withItem = [trial for trial in trials if trial.item != ''];
  local copied = [items[trial.item] for trial in withItem if std.objectHas(items[trial.item], 'copy')];
  local pod = {
    restartPolicy: 'Never',
    serviceAccountName: preflight.name,
    automountServiceAccountToken: true,
    securityContext: k8s.restrictedPod(65532, 65532),
    terminationGracePeriodSeconds: 5,
    initContainers: [
      if trial.name == 'tools' then container(plan, trial, 'tools', env=[], envFrom=[], mounts=[])
      else if trial.name == 'cluster' then cluster(plan, preflight, trial)
      else if trial.item == '' then claims(plan, trial)
      else unit(plan, trial, items[trial.item], values)
      for trial in trials
    ],
    containers: [
      container(plan, trials[1] { name: 'report' }, 'report', env=[], envFrom=[], mounts=[]),
    ],
    volumes: [
      { name: 'preflight', configMap: { name: preflight.name, defaultMode: 365 } },  // 0555
      k8s.emptyDir('findings', '16Mi'),
      k8s.emptyDir('scratch', '256Mi'),
      k8s.emptyDir('tools', '200Mi'),
    ] + once(
      [volume('scripts-' + trial.kind, [k8s.scriptsVolume(trial.scripts)])[0] for trial in trials if trial.scripts != ''] +
      std.flattenArrays([volume('ca-restic', k8up.caVolume(r)) for r in repositories]) +
      std.flattenArrays([volume('ca-rclone', k8up.caVolume(item.copy)) for item in copied]) +
      std.flattenArrays([
        volume('files-' + trial.name, filesVolume(items[trial.item]))
        for trial in withItem
      ])
    ),
  };
  local base = k8s.jobSpec(podLabels=labels, deadline=preflight.deadline, backoffLimit=2, pod=pod);
  local spec = base {
    // A red finding stays what it is; a pod that was taken away is made again.
    podFailurePolicy: {
      rules: [{
        action: 'FailJob',
        onExitCodes: { containerName: 'report', operator: 'In', values: [65] },
      }],
    },
    template: base.template {
      metadata: base.template.metadata {
        // What stands in ConfigMaps changes the Job, too, so that it runs again.
        annotations: { 'holdfast.dev/inputs': digest },
      },
    },
  };
  k8s.annotatedObject(
    'batch/v1',
    'Job',
    name=preflight.name,
    namespace=preflight.namespace,
    labels=labels,
    annotations=k8s.replaced,
    spec=spec,
  );

// The right to read K8up's Deployment, wherever it is: by its name and no other.
local reader(plan) = k8s.clusterRoleFor(
  name=plan.prefix + '-preflight',
  namespace=plan.namespace,
  labels=plan.labels,
  accounts=[{ name: p.name, namespace: p.namespace } for p in plan.preflights],
  rules=[{ apiGroups: ['apps'], resources: ['deployments'], resourceNames: [plan.preflights[0].values.K8UP_DEPLOYMENT], verbs: ['list'] }],
);

{
  // files: bases are the objects that units bring into the first stage, by the
  // name of the unit.
  files(plan, items, bases, scripts, shared):: [
    {
      local data = shared['preflight.sh'] + preflight.contracts + {
        trials: std.join('', [
          std.join('\t', [
            trial.name,
            trial.need,
            if trial.contract == '' then '-' else trial.contract,
            if trial.inside == '' then '-' else trial.inside,
            std.join(' ', trial.units),
          ]) + '\n'
          for trial in preflight.trials
        ]),
        endpoints: std.join('', [endpoint + '\n' for endpoint in preflight.endpoints]),
      },
      local own = [item for item in items if item.namespace == preflight.namespace],
      local values = [o for item in own for o in bases[item.name] if o.kind == 'ConfigMap' && o.metadata.name == item.name],
      local claimed = [item.capture.claim for item in own if item.capture.how == 'volume'],
      local used = [scripts[trial.kind] for trial in preflight.trials if trial.scripts != ''],
      path: plan.instance + '/repository/' + preflight.namespace + '/preflight.yaml',
      objects: [
        k8s.first(object)
        for object in [
          k8s.serviceAccount(name=preflight.name, namespace=preflight.namespace, labels=plan.labels),
          k8s.configMap(name=preflight.name, namespace=preflight.namespace, labels=plan.labels, data=data),
          job(
            plan,
            preflight,
            { [item.name]: item for item in own },
            [o.metadata.name for o in values],
            std.md5(std.toString([data, [o.data for o in values], used])),
          ),
        ] + k8s.role(
          name=preflight.name,
          namespace=preflight.namespace,
          labels=plan.labels,
          account=preflight.name,
          rules=if std.length(claimed) == 0 then []
          else [{ apiGroups: [''], resources: ['persistentvolumeclaims'], resourceNames: claimed, verbs: ['get'] }],
        ) + (
          if preflight.name == plan.preflights[0].name && preflight.namespace == plan.preflights[0].namespace then reader(plan) else []
        ) + network.preflight(plan, preflight)
      ],
    }
    for preflight in plan.preflights
  ],
}
