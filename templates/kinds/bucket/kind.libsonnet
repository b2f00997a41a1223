local rclone = import '../../lib/rclone.libsonnet';
local source = import '../../lib/source.libsonnet';

// An endpoint is a URL: "https://host[:port]".
local authority(endpoint) = std.split(std.split(endpoint, '/')[2], ':');
local port(endpoint) =
  local parts = authority(endpoint);
  if std.length(parts) > 1 then std.parseInt(parts[1])
  else if std.startsWith(endpoint, 'http://') then 80
  else 443;

// A database goes before its bucket: then every object that the database names
// is in the copy. The pairs are those whose keys agree, and openDesk's two
// whose keys differ.
local consistentWith(state, store) =
  local databases = std.get(state, 'databases', {});
  local backedUp(list) = [d for d in list if d.backup != 'skip'];
  [
    'postgresql/' + database.key
    for server in std.get(databases, 'postgresql', [])
    for database in backedUp(server.databases)
    if database.key == store.key
  ] +
  (if store.key == 'openxchange' then ['mariadb/' + server.id for server in backedUp(std.get(databases, 'mariadb', []))] else []) +
  (if store.key == 'dovecot' then [
     'cassandra/' + cluster.id + '-' + node
     for cluster in backedUp(std.get(databases, 'cassandra', []))
     for node in std.range(0, cluster.replicas - 1)
   ] else []);

local unit(state, store, s) = {
  local prefix = std.get(store, 'prefix', ''),
  id: 'bucket/' + store.key,
  covers: ['/objectStores/' + s],
  namespace: state.namespace,
  need: store.backup,
  [if std.objectHas(store, 'reason') then 'reason']: store.reason,
  capture: {
    how: 'sync',
    image: 'rclone',
    source: 'bucket:' + store.endpoint + '/' + store.bucket + (if prefix == '' then '' else '/' + prefix),
    env: rclone.s3('SRC', 'Other', store.endpoint, std.get(store, 'region', ''), std.get(store, 'pathStyle', true)) + {
      HOLDFAST_SOURCE: 'src:' + store.bucket + (if prefix == '' then '' else '/' + prefix),
    },
    secretEnv: rclone.s3Keys('SRC', store.accessKeyRef, store.secretKeyRef),
  },
  connects: [{ host: authority(store.endpoint)[0], port: port(store.endpoint), purpose: 'source bucket', http: true }],
  rbac: [],
  // A required bucket that lists as empty is a mistyped prefix, a lost
  // credential or a lost bucket: never a reason to delete the copy.
  expect: { minCount: std.get(store, 'minObjects', if store.backup == 'required' then 1 else 0) },
  limits: [
    'bucket policy, CORS and lifecycle rules are not objects and are not copied',
  ] + (if std.get(store, 'versioned', false) then ['older versions of the objects are not copied, only the current ones'] else []),
  consistent: std.get(store, 'consistentWith', consistentWith(state, store)),
};

{
  units(state):
    local stores = std.get(state, 'objectStores', []);
    [unit(state, stores[s], s) for s in std.range(0, std.length(stores) - 1)],

  objects(item): source.sync(item),

  restore(item, request): source.restoreJob(item, request, rbac=[], mounts=[], volumes=[]),
}
