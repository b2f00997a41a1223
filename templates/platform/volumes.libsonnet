// The marker: a job that labels live claims so that K8up's Schedules select
// them. Claims are never put into Git, for pruning one would delete its data.
local k8s = import '../lib/k8s.libsonnet';

// pod labels the claims; dump.sh of the kind that reads them does the work.
local jobSpec(plan, marker) = k8s.jobSpec(podLabels=marker.labels, deadline=plan.platform.deadlines.marker, backoffLimit=2, pod={
  restartPolicy: 'Never',
  serviceAccountName: marker.name,
  automountServiceAccountToken: true,
  securityContext: k8s.restrictedPod(65532, 65532),
  containers: [
    k8s.container(
      name='marker',
      image=plan.platform.images.k8up,
      command=['/holdfast/bin/dump.sh'],
      env=k8s.entries(marker.values),
      envFrom=[],
      mounts=[k8s.scriptsMount, k8s.scratchMount],
      resources=plan.platform.resources.tool,
      security=k8s.restrictedContainer,
    ),
  ],
  volumes: [k8s.scriptsVolume(marker.scripts), k8s.emptyDir('scratch', '64Mi')],
});

local objects(plan, marker) =
  [
    k8s.serviceAccount(name=marker.name, namespace=marker.namespace, labels=plan.labels),
  ] + k8s.role(name=marker.name, namespace=marker.namespace, labels=plan.labels, account=marker.name, rules=[
    { apiGroups: [''], resources: ['persistentvolumeclaims'], resourceNames: marker.claims, verbs: ['get', 'patch'] },
  ]) + [
    k8s.cronJob(
      name=marker.name,
      namespace=marker.namespace,
      labels=plan.labels,
      schedule=marker.schedule,
      jobSpec=jobSpec(plan, marker),
    ),
    // Once now, under a name that changes with the list; then every night.
    k8s.annotatedObject(
      'batch/v1',
      'Job',
      name=marker.first,
      namespace=marker.namespace,
      labels=marker.labels,
      annotations=k8s.replaced,
      spec=jobSpec(plan, marker),
    ),
  ];

{
  objects(plan, namespace):: [
    object
    for marker in plan.markers
    if marker.namespace == namespace
    for object in objects(plan, marker)
  ],
}
