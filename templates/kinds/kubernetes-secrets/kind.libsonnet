local namespaces = import '../../lib/namespaces.libsonnet';
local source = import '../../lib/source.libsonnet';
local states = import '../../lib/state.libsonnet';

local skipped(state) = !states.get(state, '/kubernetes/exportSecrets', otherwise=false);

local unit(state, own, number) =
  local namespace = own[number].name;
  {
    id: 'kubernetes-secrets/' + own[number].role,
    covers: ['/kubernetes/exportSecrets'],
    part: { number: number, of: std.length(own) },
    namespace: namespace,
    need: 'required',
    capture: {
      how: 'dump',
      image: 'k8up',
      extension: '.json',
      source: 'kubernetes://' + namespace + '/secrets',
      env: {
        EXPECT_NAMES: '',
        EXCLUDE_TYPES: std.join('\n', std.get(state.kubernetes, 'excludeSecretTypes', [])),
      },
    },
    connects: [{ host: 'kubernetes', purpose: 'list Secrets' }],
    rbac: [{ apiGroups: [''], resources: ['secrets'], verbs: ['list'] }],
    expect: { minBytes: 100, minCount: 1 },
    // What the instance's sources need must be in the copy: one without it is none,
    // whatever its size. The state may name further Secrets.
    [if namespace == state.namespace then 'gathersSecrets']: 'EXPECT_NAMES',
    [if namespace == state.namespace then 'secrets']: std.get(state.kubernetes, 'expectSecrets', []),
  };

{
  units(state):
    if !std.objectHas(state, 'kubernetes') then []
    else if skipped(state) then [{
      id: 'kubernetes-secrets/application',
      covers: ['/kubernetes/exportSecrets'],
      namespace: state.namespace,
      need: 'skip',
      reason: states.get(state, '/kubernetes/reasons/exportSecrets', otherwise=''),
      expect: {},
    }]
    else
      local own = namespaces.own(state);
      [unit(state, own, n) for n in std.range(0, std.length(own) - 1)],

  // Our own Secrets are left out by their names, too: one that was made by hand has no
  // label of ours.
  objects(item): source.dump(item { values+: { HOLDFAST_OWN_SECRETS: std.join('\n', item.ownSecrets) } }),

  restore(item, request): source.restoreJob(
    item,
    request,
    rbac=[{ apiGroups: [''], resources: ['secrets'], verbs: ['get', 'create', 'patch'] }],
    mounts=[],
    volumes=[],
  ),
}
