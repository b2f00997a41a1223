local connection = import '../../lib/connection.libsonnet';
local files = import '../../lib/files.libsonnet';
local states = import '../../lib/state.libsonnet';

local unit(state, server, pointer) = {
  id: 'redis/' + server.key,
  covers: [pointer],
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
  units(state): [unit(state, found.value, found.pointer) for found in states.each(state, '/caches')],
}
