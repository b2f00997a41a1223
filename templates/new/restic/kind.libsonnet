local source = import '../../lib/source.libsonnet';

local unit(state, one, n) = {
  id: 'NAME/' + one.key,
  covers: ['/NAME/' + n],
  namespace: state.namespace,
  need: one.backup,
  [if std.objectHas(one, 'reason') then 'reason']: one.reason,
  capture: {
    how: 'dump',
    image: 'client',
    source: 'NAME://' + one.host + ':' + one.port,
    env: { SOURCE_HOST: one.host, SOURCE_PORT: std.toString(one.port) },
    secretEnv: [{ name: 'SOURCE_PASSWORD', secret: one.passwordRef.name, key: one.passwordRef.key }],
    extension: '.dump',
  },
  connects: [{ host: one.host, port: one.port, purpose: 'NAME ' + one.key }],
  expect: { minBytes: 1, minCount: 1 },
};

// Take this out when all of the folder is written: until then nothing is rendered.
local written(units) =
  if units == [] then units
  else error 'the kind NAME is still to be written: its scripts, images.json, README.md and proof';

{
  units(state):
    local sources = std.get(state, 'NAME', []);
    written([unit(state, sources[n], n) for n in std.range(0, std.length(sources) - 1)]),

  objects(item): source.dump(item),

  restore(item, request): source.restoreJob(item, request, rbac=[], mounts=[], volumes=[]),
}
