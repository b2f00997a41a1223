local connection = import '../../lib/connection.libsonnet';
local files = import '../../lib/files.libsonnet';
local source = import '../../lib/source.libsonnet';

local unit(state, server, s) = {
  id: 'redis/' + server.key,
  covers: ['/caches/' + s],
  namespace: state.namespace,
  need: server.backup,
  [if std.objectHas(server, 'reason') then 'reason']: server.reason,
  capture: {
    how: 'dump',
    image: 'server',
    serverVersion: server.serverVersion,
    extension: '.rdb',
    source: 'redis://' + server.host + ':' + server.port,
    env: {
      REDIS_HOST: server.host,
      REDIS_PORT: std.toString(server.port),
      REDIS_USER: std.get(server, 'username', ''),
      REDIS_TLS: if std.get(server, 'caRef') == null then 'disable' else 'verify-ca',
    },
    secretEnv: [{ name: 'REDISCLI_AUTH', secret: server.passwordRef.name, key: server.passwordRef.key }],
    files: files.ca(std.get(server, 'caRef')),
  },
  connects: [{ host: server.host, port: server.port, purpose: 'Redis server ' + server.key }],
  limits: connection.limits(server) + [
    'accounts (ACL) and the configuration of the server are not copied',
    'a restore holds all data in its own memory: its limit (resources) must be above what the server uses',
  ],
  expect: {
    marker: 'REDIS0',
    minBytes: 20,
    minCount: std.max(1, std.get(server, 'minKeys', 1)),
    [if std.objectHas(server, 'mayBeEmpty') then 'allowEmpty']: { reason: server.mayBeEmpty.reason },
  },
};

{
  units(state):
    local servers = std.get(state, 'caches', []);
    [unit(state, servers[s], s) for s in std.range(0, std.length(servers) - 1)],

  objects(item): source.dump(item),

  restore(item, request): source.restoreJob(item, request, rbac=[], mounts=[], volumes=[]),
}
