local source = import '../../lib/source.libsonnet';

local unit(state, server, s) = {
  id: 'valkey/' + server.key,
  covers: ['/caches/' + s],
  namespace: state.namespace,
  need: server.backup,
  [if std.objectHas(server, 'reason') then 'reason']: server.reason,
  capture: {
    how: 'dump',
    image: 'client',
    extension: '.rdb',
    source: 'valkey://' + server.host + ':' + server.port,
    env: { VALKEY_HOST: server.host, VALKEY_PORT: std.toString(server.port) },
    secretEnv: [{ name: 'REDISCLI_AUTH', secret: server.passwordRef.name, key: server.passwordRef.key }],
  },
  connects: [{ host: server.host, port: server.port, purpose: 'Valkey server ' + server.key }],
  expect: { marker: 'VALKEY', minBytes: 20 },
};

{
  units(state):
    local servers = std.get(state, 'caches', []);
    [unit(state, servers[s], s) for s in std.range(0, std.length(servers) - 1)],

  objects(item): source.dump(item),

  restore(item, request): source.restoreJob(item, request, rbac=[], mounts=[], volumes=[]),
}
