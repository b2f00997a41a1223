local connection = import '../../lib/connection.libsonnet';
local states = import '../../lib/state.libsonnet';

local unit(state, entry) =
  local manager = entry.value;
  {
    id: 'secrets-manager/kv',
    covers: [entry.pointer],
    namespace: state.namespace,
    need: manager.backup,
    [if std.objectHas(manager, 'reason') then 'reason']: manager.reason,
    capture: {
      how: 'dump',
      image: 'k8up',
      extension: '.json',
      source: 'kv://' + manager.address + '/' + manager.mount,
      env: {
        SM_ADDRESS: manager.address,
        SM_MOUNT: manager.mount,
        SM_PREFIX: std.get(manager, 'pathPrefix', ''),
        SM_EXPECT_PATHS: std.join('\n', std.get(manager, 'expectPaths', [])),
      },
      credentials: [
        { name: 'SM_USERNAME', field: 'secretsManager.username' },
        { name: 'SM_PASSWORD', field: 'secretsManager.password' },
        { name: 'SM_CA_PEM', field: 'secretsManager.caPem', optional: true },
      ],
    },
    connects: [connection.target(manager.address) { purpose: 'secrets manager', http: true }],
    limits: connection.limits(manager),
    expect: { minBytes: 50, minCount: std.max(1, std.length(std.get(manager, 'expectPaths', []))) },
  };

{
  units(state): [unit(state, entry) for entry in states.one(state, '/secretsManager')],
}
