local source = import '../../lib/source.libsonnet';

local unit(state, server, s) = {
  id: 'cache/' + server.key,
  covers: ['/caches/' + s],
  namespace: state.namespace,
  need: server.backup,
  capture: {
    how: 'dump',
    image: 'client',
    extension: '.rdb',
    source: 'cache://' + server.host,
    env: { CACHE_HOST: server.host },
  },
  connects: [{ host: server.host, port: 6379, purpose: 'cache server' }],
  expect: { minBytes: 20 },
  limits: ['keys that expire are not in the copy'],
};

{
  units(state):
    local servers = std.get(state, 'caches', []);
    [unit(state, servers[s], s) for s in std.range(0, std.length(servers) - 1)],

  objects(item): source.dump(item),

  restore(item, request):
    source.restoreJob(item, request, rbac=[], mounts=[], volumes=[]),
}
