// A restic repository: its environment, its bootstrap, the shapes of K8up's
// pods, and its maintenance.
local k8s = import '../lib/k8s.libsonnet';
local k8up = import '../lib/k8up.libsonnet';
local network = import 'network.libsonnet';

local environment(plan, repo, shared) = [
  k8s.configMap(name=repo.environment, namespace=repo.namespace, labels=plan.labels, data={
    AWS_DEFAULT_REGION: repo.region,
    RESTIC_BINARY: '/holdfast/bin/restic.sh',
  } + std.get(repo, 'proxy', {})),
  k8s.configMap(name=repo.scripts, namespace=repo.namespace, labels=plan.labels, data=shared['restic.sh']),
] + (
  if repo.ca == '' then []
  else [k8s.configMap(name=repo.ca, namespace=repo.namespace, labels=plan.labels, data={ 'ca.crt': plan.caPem.restic })]
);

// The first use of a repository by several at once destroys it for good. So one
// Job makes it before anything else may run.
local bootstrap(plan, repo, shared) =
  local labels = plan.labels { 'holdfast.dev/role': 'bootstrap' };
  local scripts = plan.prefix + '-bootstrap-scripts';
  [
    k8s.configMap(
      name=scripts,
      namespace=repo.namespace,
      labels=plan.labels,
      data=shared['bootstrap.sh'],
    ),
    k8s.annotatedObject(
      'batch/v1',
      'Job',
      name=repo.bootstrap,
      namespace=repo.namespace,
      labels=labels,
      annotations=k8s.replaced,
      spec=k8s.jobSpec(podLabels=labels, deadline=plan.platform.deadlines.bootstrap, backoffLimit=6, pod={
        restartPolicy: 'Never',
        serviceAccountName: 'pod-executor',
        automountServiceAccountToken: false,
        securityContext: k8s.restrictedPod(65532, 65532),
        containers: [
          k8s.container(
            name='bootstrap',
            image=plan.platform.images.k8up,
            command=['/holdfast/bin/bootstrap.sh'],
            env=k8up.resticSecrets(repo) + k8s.entries(k8up.resticValues(repo) {
              HOLDFAST_INSTANCE: plan.instance,
              HOLDFAST_NAMESPACE: repo.namespace,
              HOLDFAST_SCRATCH: '/holdfast/scratch',
              HOLDFAST_UNIT: 'repository/' + repo.namespace,
              HOME: '/holdfast/scratch',
              TMPDIR: '/holdfast/scratch',
            }),
            envFrom=[],
            mounts=[k8s.scriptsMount, k8s.scratchMount] + k8up.caMount(repo),
            resources=plan.platform.resources.tool,
            security=k8s.restrictedContainer,
          ),
        ],
        volumes: [k8s.scriptsVolume(scripts), k8s.emptyDir('scratch', '256Mi')] + k8up.caVolume(repo),
      }),
    ),
  ] + network.bootstrap(plan, repo);

// K8up runs prune as this account and makes it only at the first backup. It
// belongs to the namespace, not to an instance: two instances in one namespace
// render the same bytes, and neither takes it away from the other.
local podExecutor(namespace) = {
  apiVersion: 'v1',
  kind: 'ServiceAccount',
  metadata: {
    name: 'pod-executor',
    namespace: namespace,
    labels: { 'app.kubernetes.io/managed-by': 'holdfast' },
    annotations: k8s.neverPruned { 'kustomize.toolkit.fluxcd.io/ssa': 'IfNotPresent' },
  },
};

local podConfig(config) = k8up.podConfig(
  name=config.name,
  namespace=config.namespace,
  labels=config.labels,
  podSecurity=if config.root then k8s.rootPod else k8s.restrictedPod(config.uid, config.gid),
  containerSecurity=if config.root then k8s.rootReader else k8s.restrictedContainer,
  resources=config.resources,
);

{
  files(plan, shared):: [
    {
      path: plan.instance + '/repository/' + repo.namespace + '/repository.yaml',
      objects: [
        k8s.first(object)
        for object in [podExecutor(repo.namespace)] + environment(plan, repo, shared) + bootstrap(plan, repo, shared) + [
          podConfig(config)
          for config in plan.podConfigs
          if config.namespace == repo.namespace
        ]
      ],
    }
    for repo in std.objectValues(plan.repositories)
  ],

  // maintenance: a check for each repository and a prune for each tier, each in
  // a Schedule of its own.
  maintenance(plan, repo, backup):: [
    {
      path: backup + repo.namespace + '/maintenance.yaml',
      objects: [
        k8up.schedule(
          name=job.name,
          namespace=job.namespace,
          labels=job.labels,
          repository=repo,
          jobs={
            [job.job]: k8up.job(
              repository=repo,
              schedule=job.schedule,
              podConfig=job.podConfig,
              deadline=job.deadline,
              history=3,
            ) + (
              if job.job == 'prune' then { retention: job.retention { tags: [job.tag] } } else {}
            ),
          },
        )
        for job in plan.maintenance
        if job.namespace == repo.namespace
      ],
    },
  ],
}
