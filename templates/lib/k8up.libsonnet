// Constructors for K8up's objects. Only fields that K8up reads are here, and
// every field whose absence K8up fills with a surprise is an argument.
local k8s = import 'k8s.libsonnet';

// K8up gives the volumes of claims the claims' names.
local resticVolume = 'holdfast-restic';

{
  // backend is the repository as K8up wants it. Exactly one backend type; the
  // password's Secret always by name and key.
  backend(repository):: {
    repoPasswordSecretRef: { name: repository.secret, key: 'password' },
    envFrom: [{ configMapRef: { name: repository.environment } }],
    s3: {
      endpoint: repository.endpoint,
      bucket: repository.bucket,
      accessKeyIDSecretRef: { name: repository.secret, key: 'access-key-id' },
      secretAccessKeySecretRef: { name: repository.secret, key: 'secret-access-key' },
    },
    volumeMounts: [{ name: resticVolume, mountPath: '/holdfast/bin', readOnly: true }] + $.caMount(repository),
    [if repository.ca != '' then 'tlsOptions']: { caCert: '/holdfast/ca/ca.crt' },
  },

  // job is what every kind of K8up job needs. K8up inherits none of it from the
  // Schedule, so each block repeats it.
  // K8up counts the ended jobs of all Schedules in the namespace, hence history.
  job(repository, schedule, podConfig, deadline, history):: {
    schedule: schedule.k8up,
    podConfigRef: { name: podConfig },
    activeDeadlineSeconds: deadline,
    successfulJobsHistoryLimit: history,
    failedJobsHistoryLimit: history,
    volumes: [k8s.scriptsVolume(repository.scripts) { name: resticVolume }] + $.caVolume(repository),
  },

  schedule(name, namespace, labels, repository, jobs)::
    k8s.object(
      'k8up.io/v1',
      'Schedule',
      name=name,
      namespace=namespace,
      labels=labels,
      spec={ backend: $.backend(repository) } + jobs,
    ),

  preBackupPod(name, namespace, labels, command, extension, pod)::
    k8s.object('k8up.io/v1', 'PreBackupPod', name=name, namespace=namespace, labels=labels, spec={
      backupCommand: command,
      fileExtension: extension,
      pod: { spec: pod },
    }),

  // podConfig's own labels land on the job's pods; those in its template do not.
  podConfig(name, namespace, labels, podSecurity, containerSecurity, resources)::
    k8s.object('k8up.io/v1', 'PodConfig', name=name, namespace=namespace, labels=labels, spec={
      template: {
        spec: {
          securityContext: podSecurity,
          containers: [{ name: 'k8up', resources: resources, securityContext: containerSecurity }],
        },
      },
    }),

  // resticValues and resticSecrets are the environment for a pod of ours that
  // calls restic itself.
  resticValues(repository):: std.get(repository, 'proxy', {}) + {
    RESTIC_REPOSITORY: repository.url,
    AWS_DEFAULT_REGION: repository.region,
    RESTIC_CACHE_DIR: '/holdfast/scratch/cache',
    [if repository.ca != '' then 'RESTIC_CACERT']: '/holdfast/ca/ca.crt',
  },
  resticSecrets(repository):: k8s.secretEnv([
    { name: 'AWS_ACCESS_KEY_ID', secret: repository.secret, key: 'access-key-id' },
    { name: 'AWS_SECRET_ACCESS_KEY', secret: repository.secret, key: 'secret-access-key' },
    { name: 'RESTIC_PASSWORD', secret: repository.secret, key: 'password' },
  ]),
  // caVolume and caMount show a CA bundle of our own, if there is one, to
  // whatever talks to the storage: a repository, or the target of a copy.
  caVolume(storage):: if storage.ca != '' then [{
    name: 'ca',
    configMap: { name: storage.ca, items: [{ key: 'ca.crt', path: 'ca.crt' }] },
  }] else [],
  caMount(storage):: if storage.ca != '' then [{ name: 'ca', mountPath: '/holdfast/ca', readOnly: true }] else [],
}
