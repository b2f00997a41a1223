// How Flux applies the tree: the repositories first, and what uses them when
// they stand. One Kustomization for each stage and instance, because one
// invalid object blocks all others of its Kustomization.
local kustomization(plan, stage, dependsOn, timeout) = {
  apiVersion: 'kustomize.toolkit.fluxcd.io/v1',
  kind: 'Kustomization',
  metadata: {
    name: plan.instance + '-' + stage,
    namespace: plan.flux.namespace,
    labels: plan.labels,
  },
  spec: {
    interval: plan.flux.interval,
    path: plan.flux.path + '/' + stage,
    prune: true,
    // Waiting covers Jobs: the next stage starts when the bootstrap is done and the
    // preflight is green.
    wait: true,
    timeout: timeout,
    [if std.objectHas(plan.flux, 'serviceAccount') then 'serviceAccountName']: plan.flux.serviceAccount,
    sourceRef: {
      kind: plan.flux.sourceKind,
      name: plan.flux.sourceName,
      [if std.objectHas(plan.flux, 'sourceNamespace') then 'namespace']: plan.flux.sourceNamespace,
    },
    dependsOn: dependsOn,
    decryption: { provider: 'sops', secretRef: { name: plan.flux.decryptionSecret } },
  },
};

// seconds: five minutes more than the longest Job of the first stage may take.
local seconds(plan) =
  local longest = std.foldl(std.max, [p.deadline for p in plan.preflights], plan.platform.deadlines.bootstrap);
  (longest + 300) + 's';

{
  file(plan):: {
    path: plan.instance + '/flux.yaml',
    objects: [
      kustomization(plan, 'repository', plan.flux.dependsOn, seconds(plan)),
      kustomization(plan, 'backup', [{ name: plan.instance + '-repository' }], '15m'),
    ],
  },
}
