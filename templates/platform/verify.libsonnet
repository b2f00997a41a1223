// The verifier: a CronJob for each namespace that looks, when the round is over, at
// what is stored of each unit, and writes it into the namespace's status. It reads the
// repository without a lock, and changes nothing but the status.
local k8s = import '../lib/k8s.libsonnet';
local k8up = import '../lib/k8up.libsonnet';

local verifyMount = { name: 'verify', mountPath: '/holdfast/verify', readOnly: true };

local jobSpec(plan, verifier, repository) =
  k8s.jobSpec(podLabels=verifier.labels, deadline=verifier.deadline, backoffLimit=2, pod={
    restartPolicy: 'Never',
    serviceAccountName: verifier.name,
    automountServiceAccountToken: true,
    securityContext: k8s.restrictedPod(65532, 65532),
    containers: [
      k8s.container(
        name='verifier',
        image=plan.platform.images.k8up,
        command=['/holdfast/bin/verify.sh'],
        env=(if repository == null then [] else k8up.resticSecrets(repository)) +
            k8s.entries((if repository == null then {} else k8up.resticValues(repository)) + verifier.values),
        envFrom=[],
        mounts=[k8s.scriptsMount, verifyMount, k8s.scratchMount] + (if repository == null then [] else k8up.caMount(repository)),
        resources=plan.platform.resources.verify,
        security=k8s.restrictedContainer,
      ),
    ],
    volumes: [
      k8s.scriptsVolume(verifier.name + '.scripts'),
      { name: 'verify', configMap: { name: verifier.name } },
      // restic's cache, and what a copy is read in.
      k8s.emptyDir('scratch', '4Gi'),
    ] + (if repository == null then [] else k8up.caVolume(repository)),
  }) {
    // What is red stays red; a pod that was taken away is made again.
    podFailurePolicy: {
      rules: [{ action: 'FailJob', onExitCodes: { containerName: 'verifier', operator: 'In', values: [65] } }],
    },
  };

// A copy of a bucket is made by a CronJob that counts on both sides before it ends
// well: what it says is believed.
local copies(verifier) = [looked.name for looked in verifier.expected if looked.how == 'sync'];

{
  // base is what the verifier needs, and the status, which only it writes.
  base(plan, verifier, shared):: [
    k8s.serviceAccount(name=verifier.name, namespace=verifier.namespace, labels=plan.labels),
    // Its data is what the verifier found: none of it is in Git.
    {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: {
        name: verifier.status,
        namespace: verifier.namespace,
        labels: plan.labels { 'holdfast.dev/role': 'status' },
        annotations: { 'kustomize.toolkit.fluxcd.io/ssa': 'IfNotPresent' },
      },
    },
    k8s.configMap(name=verifier.name + '.scripts', namespace=verifier.namespace, labels=plan.labels, data=shared['verify.sh']),
    k8s.configMap(name=verifier.name, namespace=verifier.namespace, labels=plan.labels, data={
      'expected.json': std.manifestJsonEx(verifier.expected, '  ') + '\n',
    }),
  ] + k8s.role(name=verifier.name, namespace=verifier.namespace, labels=plan.labels, account=verifier.name, rules=[
    { apiGroups: [''], resources: ['configmaps'], resourceNames: [verifier.status], verbs: ['get', 'patch'] },
  ] + (
    if std.length(copies(verifier)) == std.length(verifier.expected) then []
    else [{ apiGroups: ['k8up.io'], resources: ['backups'], verbs: ['list'] }]
  ) + (
    if std.length(copies(verifier)) == 0 then []
    else [{ apiGroups: ['batch'], resources: ['cronjobs'], resourceNames: copies(verifier), verbs: ['get'] }]
  )),

  objects(plan, verifier)::
    local used = [r for r in std.objectValues(plan.repositories) if r.namespace == verifier.namespace];
    [
      k8s.cronJob(
        name=verifier.name,
        namespace=verifier.namespace,
        labels=plan.labels,
        schedule=verifier.schedule,
        jobSpec=jobSpec(plan, verifier, if std.length(used) == 0 then null else used[0]),
      ),
    ],
}
