local namespaces = import '../../lib/namespaces.libsonnet';
local source = import '../../lib/source.libsonnet';

local skipped(state) = !std.get(std.get(state, 'kubernetes', {}), 'exportSecrets', false);

// Secrets that the state names must be in the copy: a copy without them is not
// one, whatever its size.
local named(state, namespace) =
  if namespace != state.namespace then [] else
    local databases = std.get(state, 'databases', {});
    [
      database.passwordRef.name
      for server in std.get(databases, 'postgresql', [])
      if std.get(server, 'namespace', namespace) == namespace
      for database in server.databases
      if database.backup != 'skip'
    ] +
    [store.secretKeyRef.name for store in std.get(state, 'objectStores', []) if store.backup != 'skip'] +
    std.get(state.kubernetes, 'expectSecrets', []);

local unit(state, own, number) =
  local namespace = own[number].name;
  local expected = named(state, namespace);
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
        EXCLUDE_TYPES: std.join('\n', std.get(state.kubernetes, 'excludeSecretTypes', [])),
        EXPECT_NAMES: std.join('\n', std.sort(expected)),
      },
    },
    connects: [{ host: 'kubernetes', purpose: 'list Secrets' }],
    rbac: [{ apiGroups: [''], resources: ['secrets'], verbs: ['list'] }],
    expect: { minBytes: 100, minCount: 1 },
  };

{
  units(state):
    if !std.objectHas(state, 'kubernetes') then []
    else if skipped(state) then [{
      id: 'kubernetes-secrets/application',
      covers: ['/kubernetes/exportSecrets'],
      namespace: state.namespace,
      need: 'skip',
      reason: std.get(std.get(state.kubernetes, 'reasons', {}), 'exportSecrets', ''),
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
