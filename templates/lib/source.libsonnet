// The shapes a source takes, one for each way of capture, and its restore.
// A kind calls one of them; what differs between kinds is in the plan's item.
local exec = import 'exec.libsonnet';
local k8s = import 'k8s.libsonnet';
local k8up = import 'k8up.libsonnet';
local rclone = import 'rclone.libsonnet';

local bin(script) = '/holdfast/bin/' + script;

// locks shows the unit's lock and the instance's lock to a dump pod as files.
// Both are optional: an absent lock locks nothing.
local lockVolumes(item) = [
  { name: 'lock-unit', configMap: { name: item.lock, optional: true } },
  { name: 'lock-instance', configMap: { name: item.instanceLock, optional: true } },
];
local lockMounts = [
  { name: 'lock-unit', mountPath: '/holdfast/locks/unit', readOnly: true },
  { name: 'lock-instance', mountPath: '/holdfast/locks/instance', readOnly: true },
];

// group lets a pod write to its scratch, where that is a new volume of a class.
local group(item) = if item.scratchClass == '' then {} else { fsGroup: item.gid };

// token lets a pod talk to the API server; without grants it gets none.
local token(item) = {
  serviceAccountName: item.serviceAccount,
  automountServiceAccountToken: item.serviceAccount == item.name,
};

// tools copies kubectl out of an image that has it, for images that have none.
local tools(item, values) = k8s.container(
  name='tools',
  image=item.platformImages.tools,
  command=[bin('tools.sh')],
  env=[],
  envFrom=values,
  mounts=[k8s.scriptsMount, k8s.scratchMount, k8s.toolsMount],
  resources=item.toolResources,
  security=k8s.restrictedContainer,
);

// guard.sh holds the unit's lock while it runs a command. The holder is this
// very pod, so a leftover is never mistaken for it.
local holder = [
  k8s.fieldEnv('HOLDFAST_POD', 'metadata.name'),
  k8s.fieldEnv('HOLDFAST_POD_UID', 'metadata.uid'),
  { name: 'HOLDFAST_HOLDER', value: '$(HOLDFAST_POD).$(HOLDFAST_POD_UID)' },
];
local guardValues(item, ttl, wait) = {
  HOLDFAST_LOCK: item.lock,
  HOLDFAST_INSTANCE_LOCK: item.instanceLock,
  HOLDFAST_LOCK_TTL: std.toString(ttl),
  HOLDFAST_NAME: item.name,
  HOLDFAST_WAIT_FOR_DUMPS: std.toString(wait),
};
local lockRules(item) = [
  { apiGroups: [''], resources: ['configmaps'], resourceNames: [item.lock], verbs: ['get', 'patch'] },
  { apiGroups: [''], resources: ['configmaps'], resourceNames: [item.instanceLock], verbs: ['get'] },
];

// suits says whether a shape is the one for how a unit is captured, and fails with
// what to write instead.
local suits(item, shape, hows) =
  local how = item.capture.how;
  if std.member(hows, how) then true
  else error 'source.' + shape + ' is for capture.how ' + std.join(' or ', hows) + ', and unit ' + item.id + ' says ' + how +
             ': call source.' + (if how == 'exec' then 'dump' else how);

{
  // objects and restore are what a unit has whose kind does not make them itself. They
  // follow from how it is captured.
  objects(item)::
    local how = item.capture.how;
    self[if how == 'exec' then 'dump' else how](item),
  restore(item, request)::
    local live = item.capture.how == 'volume';
    self.restoreJob(
      item,
      request,
      rbac=if item.capture.how == 'exec' then exec.rules(item.capture.workload.pod) else [],
      mounts=if live then [{ name: 'target', mountPath: '/holdfast/target' }] else [],
      volumes=if live then [{ name: 'target', persistentVolumeClaim: { claimName: item.capture.claim } }] else [],
    ),

  // dump: a pod of ours prints the dump, K8up stores what it prints. The pod
  // idles until K8up runs backupCommand in its first container.
  dump(item)::
    assert suits(item, 'dump', ['dump', 'exec']);
    [
      k8s.configMap(name=item.name, namespace=item.namespace, labels=item.labels, data=item.values),
      k8up.preBackupPod(
        name=item.name,
        namespace=item.namespace,
        labels=item.labels,
        command=bin('dump.sh'),
        extension=item.capture.extension,
        pod={
          securityContext: k8s.restrictedPod(item.uid, item.gid) + group(item),
          terminationGracePeriodSeconds: 1,  // sleep ignores TERM
          containers: [
            k8s.container(
              name=item.name,
              image=item.image,
              command=['sleep', 'infinity'],
              env=k8s.secretEnv(item.secretEnv),
              envFrom=k8s.fromConfigMaps([item.name]),
              mounts=[k8s.scriptsMount, k8s.scratchMount] + lockMounts + k8s.filesMount(std.get(item.capture, 'files', [])),
              resources=k8s.withScratch(item, item.resources, size=item.dumpScratch),
              security=k8s.restrictedContainer,
            ),
          ],
          volumes: [k8s.scriptsVolume(item.scripts), k8s.scratch(item.dumpScratch, item.scratchClass)] +
                   lockVolumes(item) + k8s.filesVolume(std.get(item.capture, 'files', [])),
        } + token(item),
      ),
      self.schedule(item),
    ],

  // schedule: one K8up Schedule for one source, selected by its own label, so
  // that a failing source fails alone.
  schedule(item):: k8up.schedule(
    name=item.name,
    namespace=item.namespace,
    labels=item.labels,
    repository=item.repository,
    jobs={
      backup: k8up.job(
        repository=item.repository,
        schedule=item.schedule,
        podConfig=item.podConfig,
        deadline=item.deadline,
        history=item.repository.history,
      ) + {
        labelSelectors: [{ matchLabels: { 'holdfast.dev/unit': item.name } }],
        tags: item.tags,
      },
    },
  ),

  // volume: K8up reads the claim's files; the marker labels the live claim.
  volume(item)::
    assert suits(item, 'volume', ['volume']);
    [self.schedule(item)],

  // sync: a CronJob of ours copies bucket to bucket under the unit's lock.
  // Exit 75 means that somebody else holds it: failed at once and counted,
  // never retried and never called a success.
  sync(item)::
    assert suits(item, 'sync', ['sync']);
    local pod = {
      restartPolicy: 'Never',
      serviceAccountName: item.serviceAccount,
      automountServiceAccountToken: true,
      securityContext: k8s.restrictedPod(item.uid, item.gid) + group(item),
      terminationGracePeriodSeconds: 60,
      initContainers: [tools(item, k8s.fromConfigMaps([item.name]))],
      containers: [
        k8s.container(
          name=item.name,
          image=item.image,
          command=[bin('guard.sh'), bin('dump.sh')],
          env=k8s.secretEnv(item.secretEnv) + rclone.backupSecrets(item.copy) + holder,
          envFrom=k8s.fromConfigMaps([item.name]),
          mounts=[k8s.scriptsMount, k8s.scratchMount, k8s.copiedTools] + k8s.filesMount(std.get(item.capture, 'files', [])) + k8up.caMount(item.copy),
          resources=k8s.withScratch(item, item.resources, size=item.scratch),
          security=k8s.restrictedContainer,
        ),
      ],
      volumes: [
        k8s.scriptsVolume(item.scripts),
        k8s.scratch(item.scratch, item.scratchClass),
        k8s.emptyDir('tools', '200Mi'),
      ] + k8s.filesVolume(std.get(item.capture, 'files', [])) + k8up.caVolume(item.copy),
    };
    [
      k8s.configMap(
        name=item.name,
        namespace=item.namespace,
        labels=item.labels,
        data=item.values + rclone.backupValues(item.copy) + guardValues(item, ttl=300, wait=0),
      ),
      k8s.cronJob(
        name=item.name,
        namespace=item.namespace,
        labels=item.labels,
        schedule=item.schedule,
        jobSpec=k8s.jobSpec(podLabels=item.podLabels, deadline=item.deadline, backoffLimit=2, pod=pod) + {
          podFailurePolicy: {
            rules: [{
              action: 'FailJob',
              onExitCodes: { containerName: item.name, operator: 'In', values: [75] },
            }],
          },
        },
      ),
    ] + k8s.role(
      name=item.name,
      namespace=item.namespace,
      labels=item.labels,
      account=item.serviceAccount,
      rules=lockRules(item),
    ),

  // restoreJob: validate, fetch and verify run before apply touches anything,
  // so the container's name is the phase. apply holds the unit's lock. What is
  // asked for stands in one ConfigMap, which all phases read and people edit.
  //   rbac     what restore.sh may do at the API server, beyond the lock
  //   mounts   further mounts of apply
  //   volumes  the volumes of these mounts
  restoreJob(item, request, rbac, mounts, volumes)::
    local name = item.restore;
    local how = item.capture.how;
    local fetches = how == 'dump' || how == 'exec';
    local restic = item.engine == 'restic';
    local storage = if restic then item.repository else item.copy;
    local storageSecrets = if restic then storage.secretEnv else rclone.backupSecrets(storage);
    local storageValues = if restic then storage.values else rclone.backupValues(storage);
    local values = k8s.fromConfigMaps([name]);
    local step(command, secrets) = k8s.container(
      name=command,
      image=item.platformImages.k8up,
      command=[bin('fetch.sh'), command],
      env=secrets,
      envFrom=values,
      mounts=[k8s.scriptsMount, k8s.scratchMount] + k8up.caMount(storage),
      resources=item.toolResources,
      security=k8s.restrictedContainer,
    );
    local apply = k8s.container(
      name='apply',
      image=if how == 'volume' then item.platformImages.k8up else item.image,
      command=[bin('guard.sh'), bin('restore.sh')],
      env=k8s.secretEnv(item.secretEnv) + (if fetches then [] else storageSecrets) + holder,
      envFrom=values,
      mounts=[k8s.scriptsMount, k8s.scratchMount, k8s.copiedTools] +
             k8s.filesMount(std.get(item.capture, 'files', [])) + k8up.caMount(storage) + mounts,
      resources=k8s.withScratch(item, item.resources, size=item.scratch),
      security=if item.root then k8s.rootRestorer else k8s.restrictedContainer,
    );
    [
      k8s.configMap(
        name=name,
        namespace=item.namespace,
        labels=item.labels,
        // An API server that is away for a few minutes is no reason to leave a
        // restore half done.
        data=item.values + storageValues + guardValues(item, ttl=900, wait=if restic then item.deadline else 0) + {
          // Less than the Job's: who is stopped with his pod says nothing.
          HOLDFAST_DEADLINE: std.toString(item.restoreDeadline - item.deadline),
          HOLDFAST_FILE_BYTES: std.toString(item.restoreBytes),
        } + request,
      ),
      k8s.serviceAccount(name=name, namespace=item.namespace, labels=item.labels),
      k8s.job(
        name=name,
        namespace=item.namespace,
        labels=item.labels,
        podLabels=item.podLabels { 'holdfast.dev/role': 'restore' },
        deadline=item.restoreDeadline,
        backoffLimit=0,
        pod={
          restartPolicy: 'Never',
          serviceAccountName: name,
          automountServiceAccountToken: true,
          securityContext: if item.root then k8s.rootPod else k8s.restrictedPod(item.uid, item.gid) + group(item),
          terminationGracePeriodSeconds: 60,
          initContainers: [tools(item, values)] + (
            // verify reads what fetch left, and never opens the storage.
            if fetches then [step('validate', storageSecrets), step('fetch', storageSecrets), step('verify', [])] else []
          ),
          containers: [apply],
          volumes: [
            k8s.scriptsVolume(item.scripts),
            k8s.scratch(item.scratch, item.scratchClass),
            k8s.emptyDir('tools', '200Mi'),
          ] + k8s.filesVolume(std.get(item.capture, 'files', [])) + k8up.caVolume(storage) + volumes,
        },
      ),
    ] + k8s.role(
      name=name,
      namespace=item.namespace,
      labels=item.labels,
      account=name,
      rules=lockRules(item) + (
        // guard.sh waits for the unit's dump pods to end.
        if restic then [{ apiGroups: [''], resources: ['pods'], verbs: ['list'] }] else []
      ) + rbac,
    ),

  // restoreClusterRole gives the restore's account rules for the whole cluster.
  restoreClusterRole(item, rules)::
    k8s.clusterRole(name=item.restore, namespace=item.namespace, labels=item.labels, account=item.restore, rules=rules),
}
