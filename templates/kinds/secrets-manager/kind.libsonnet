local source = import '../../lib/source.libsonnet';

// An address is a URL: "https://host[:port]".
local authority(address) = std.split(std.split(address, '/')[2], ':');

local unit(state, manager) = {
  local host = authority(manager.address),
  id: 'secrets-manager/kv',
  covers: ['/secretsManager'],
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
  connects: [{
    host: host[0],
    port: if std.length(host) > 1 then std.parseInt(host[1]) else 443,
    purpose: 'secrets manager',
    http: true,
  }],
  expect: { minBytes: 50, minCount: std.max(1, std.length(std.get(manager, 'expectPaths', []))) },
};

{
  units(state): if std.objectHas(state, 'secretsManager') then [unit(state, state.secretsManager)] else [],

  objects(item): source.dump(item),

  restore(item, request): source.restoreJob(item, request, rbac=[], mounts=[], volumes=[]),
}
