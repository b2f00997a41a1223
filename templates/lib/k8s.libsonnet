// Constructors for Kubernetes' own objects. Arguments have no defaults: what an
// object says is decided by its caller, in sight.
{
  // entries makes the list form of a map: [{name: …, value: …}], by name.
  entries(map):: [{ name: name, value: map[name] } for name in std.objectFields(map)],

  // object is one with a spec. Objects are written whole and not put together
  // with +, which costs more than everything else in a template.
  object(apiVersion, kind, name, namespace, labels, spec):: {
    apiVersion: apiVersion,
    kind: kind,
    metadata: { name: name, namespace: namespace, labels: labels },
    spec: spec,
  },
  annotatedObject(apiVersion, kind, name, namespace, labels, annotations, spec):: {
    apiVersion: apiVersion,
    kind: kind,
    metadata: { name: name, namespace: namespace, labels: labels, annotations: annotations },
    spec: spec,
  },

  // Annotations say the same to Flux and to Argo CD, in every tree: the tree
  // does not know who applies it.
  //   neverPruned  stays when it vanishes from Git, and when the instance does
  //   replaced     a changed Job cannot be applied over the old one
  neverPruned:: {
    'argocd.argoproj.io/sync-options': 'Prune=false,Delete=false',
    'kustomize.toolkit.fluxcd.io/prune': 'disabled',
  },
  replaced:: {
    'argocd.argoproj.io/sync-options': 'Force=true,Replace=true',
    'kustomize.toolkit.fluxcd.io/force': 'Enabled',
  },
  // first puts an object into the wave before all others. Flux has the same from
  // its Kustomizations, of which the second waits for the first.
  first(object):: object {
    metadata+: { annotations+: { 'argocd.argoproj.io/sync-wave': '-1' } },
  },

  configMap(name, namespace, labels, data):: {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: name, namespace: namespace, labels: labels },
    data: data,
  },

  // serviceAccount never mounts its token by itself: a pod that needs it says so.
  serviceAccount(name, namespace, labels):: {
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: { name: name, namespace: namespace, labels: labels },
    automountServiceAccountToken: false,
  },

  // role makes a Role and its binding to an account; nothing for no rules.
  role(name, namespace, labels, account, rules)::
    $.roleFor(name=name, namespace=namespace, labels=labels, accounts=[account], rules=rules),

  // roleFor binds several accounts of the namespace.
  roleFor(name, namespace, labels, accounts, rules):: if std.length(rules) == 0 then [] else [
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'Role',
      metadata: { name: name, namespace: namespace, labels: labels },
      rules: rules,
    },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'RoleBinding',
      metadata: { name: name, namespace: namespace, labels: labels },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: name },
      subjects: [{ kind: 'ServiceAccount', name: account, namespace: namespace } for account in accounts],
    },
  ],

  // clusterRole is the same for the whole cluster. Its name has the namespace, which
  // keeps apart two instances of one id that are rendered without knowing of each other.
  clusterRole(name, namespace, labels, account, rules)::
    $.clusterRoleFor(
      name=name,
      namespace=namespace,
      labels=labels,
      accounts=[{ name: account, namespace: namespace }],
      rules=rules,
    ),

  // clusterRoleFor binds several accounts, each {name, namespace}.
  clusterRoleFor(name, namespace, labels, accounts, rules):: if std.length(rules) == 0 then [] else [
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRole',
      metadata: { name: name + '.' + namespace, labels: labels },
      rules: rules,
    },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRoleBinding',
      metadata: { name: name + '.' + namespace, labels: labels },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: name + '.' + namespace },
      subjects: [{ kind: 'ServiceAccount', name: account.name, namespace: account.namespace } for account in accounts],
    },
  ],

  // restrictedPod and restrictedContainer are what Pod Security "restricted"
  // asks for. fsGroup is not among it: kubelet would rewrite the owner and the
  // modes of a live volume.
  restrictedPod(uid, gid):: {
    runAsNonRoot: true,
    runAsUser: uid,
    runAsGroup: gid,
    seccompProfile: { type: 'RuntimeDefault' },
  },
  // rootPod reads files of uid 0; the plan demands a reason for it.
  rootPod:: { runAsUser: 0, runAsGroup: 0, seccompProfile: { type: 'RuntimeDefault' } },
  restrictedContainer:: {
    allowPrivilegeEscalation: false,
    capabilities: { drop: ['ALL'] },
    readOnlyRootFilesystem: true,
  },
  // rootReader may read files that other users own, and nothing more;
  // rootRestorer may also give them back to their owners.
  rootReader:: $.restrictedContainer { capabilities: { drop: ['ALL'], add: ['DAC_READ_SEARCH'] } },
  rootRestorer:: $.restrictedContainer { capabilities: { drop: ['ALL'], add: ['CHOWN', 'DAC_OVERRIDE', 'FOWNER'] } },

  // container: plain values come from ConfigMaps (envFrom), so that each stands
  // in one place; env is for Secrets and for fields of the pod. Scripts name the
  // image where it lacks something, and mask the values of HOLDFAST_SECRETS in what
  // they print: HF436 looks that each variable from a Secret is named there.
  container(name, image, command, env, envFrom, mounts, resources, security):: {
    name: name,
    image: image,
    imagePullPolicy: 'IfNotPresent',
    command: command,
    env: [{ name: 'HOLDFAST_IMAGE', value: image }] + $.secretNames(env) + env,
    [if std.length(envFrom) > 0 then 'envFrom']: envFrom,
    volumeMounts: mounts,
    resources: resources,
    securityContext: security,
  },

  // secretNames tells the scripts which of the variables come from Secrets.
  secretNames(env)::
    local names = [e.name for e in env if std.objectHas(std.get(e, 'valueFrom', {}), 'secretKeyRef')];
    if std.length(names) == 0 then [] else [{ name: 'HOLDFAST_SECRETS', value: std.join(' ', std.uniq(std.sort(names))) }],

  // secretEnv turns the plan's list, {name, secret, key}, into Kubernetes' form.
  secretEnv(list):: [{ name: e.name, valueFrom: { secretKeyRef: { name: e.secret, key: e.key } } } for e in list],
  // fromConfigMaps takes whole ConfigMaps as environment; the last one wins.
  fromConfigMaps(names):: [{ configMapRef: { name: name } } for name in names],
  // fieldEnv reads a field of the pod itself.
  fieldEnv(name, path):: { name: name, valueFrom: { fieldRef: { fieldPath: path } } },

  job(name, namespace, labels, podLabels, deadline, backoffLimit, pod)::
    $.object(
      'batch/v1',
      'Job',
      name=name,
      namespace=namespace,
      labels=labels,
      spec=$.jobSpec(podLabels=podLabels, deadline=deadline, backoffLimit=backoffLimit, pod=pod),
    ),

  jobSpec(podLabels, deadline, backoffLimit, pod):: {
    activeDeadlineSeconds: deadline,
    backoffLimit: backoffLimit,
    template: { metadata: { labels: podLabels }, spec: pod },
  },

  cronJob(name, namespace, labels, schedule, jobSpec)::
    $.object('batch/v1', 'CronJob', name=name, namespace=namespace, labels=labels, spec={
      schedule: schedule.cron,
      timeZone: schedule.timeZone,
      concurrencyPolicy: 'Forbid',
      // A run that the controller could not start in time still runs that night.
      startingDeadlineSeconds: 3600,
      successfulJobsHistoryLimit: 3,
      failedJobsHistoryLimit: 3,
      jobTemplate: { metadata: { labels: jobSpec.template.metadata.labels }, spec: jobSpec },
    }),

  // Volumes and their mounts, by what they hold.
  emptyDir(name, size):: { name: name, emptyDir: { sizeLimit: size } },
  // scratch is on the node's disk, or a volume of a class that lives as long as
  // its pod. What is on the node's disk is asked for where its size is known: the
  // scheduler does not look at a sizeLimit, and kubelet evicts who outgrows it.
  scratch(size, class):: if class == '' then $.emptyDir('scratch', size) else {
    name: 'scratch',
    ephemeral: {
      volumeClaimTemplate: {
        spec: { accessModes: ['ReadWriteOnce'], storageClassName: class, resources: { requests: { storage: size } } },
      },
    },
  },
  withScratch(item, resources, size):: if item.reserved then resources {
    requests+: { 'ephemeral-storage': size },
  } else resources,
  scriptsVolume(configMap):: { name: 'scripts', configMap: { name: configMap, defaultMode: 365 } },  // 0555
  scriptsMount:: { name: 'scripts', mountPath: '/holdfast/bin', readOnly: true },
  scratchMount:: { name: 'scratch', mountPath: '/holdfast/scratch' },
  toolsMount:: { name: 'tools', mountPath: '/holdfast/tools' },
  copiedTools:: { name: 'tools', mountPath: '/holdfast/tools', readOnly: true },
  // filesVolume projects the unit's files into one folder; [] when it has none.
  filesVolume(files):: if std.length(files) == 0 then [] else [{
    name: 'files',
    projected: {
      defaultMode: 292,  // 0444
      sources: [
        if std.objectHas(f, 'secret')
        then { secret: { name: f.secret, items: [{ key: f.key, path: f.name }] } }
        else { configMap: { name: f.configMap, items: [{ key: f.key, path: f.name }] } }
        for f in files
      ],
    },
  }],
  filesMount(files):: if std.length(files) == 0 then [] else [{ name: 'files', mountPath: '/holdfast/files', readOnly: true }],
}
