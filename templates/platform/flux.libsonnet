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
    // Waiting covers Jobs: the next stage starts when the bootstrap is done.
    wait: true,
    timeout: timeout,
    sourceRef: {
      kind: plan.flux.sourceKind,
      name: plan.flux.sourceName,
      [if std.objectHas(plan.flux, 'sourceNamespace') then 'namespace']: plan.flux.sourceNamespace,
    },
    dependsOn: dependsOn,
    decryption: { provider: 'sops', secretRef: { name: plan.flux.decryptionSecret } },
  },
};

{
  // Where all sources are buckets there are no repositories, and a Kustomization
  // whose folder does not exist would hold up the other for ever.
  file(plan)::
    local repository = std.length(plan.repositories) > 0;
    {
      path: plan.instance + '/flux.yaml',
      objects:
        (if repository then [kustomization(plan, 'repository', plan.flux.dependsOn, '15m')] else []) +
        [kustomization(plan, 'backup', if repository then [{ name: plan.instance + '-repository' }] else plan.flux.dependsOn, '15m')],
    },
}
