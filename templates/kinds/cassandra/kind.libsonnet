local exec = import '../../lib/exec.libsonnet';
local states = import '../../lib/state.libsonnet';

// With one copy of each row a node's loss is data loss, so every node is a
// unit; together they cover the cluster.
local unit(state, entry, node) =
  local cluster = entry.value;
  local pod = cluster.statefulSet + '-' + node;
  local container = std.get(cluster, 'container', 'cassandra');
  {
    id: 'cassandra/' + cluster.id + '-' + node,
    covers: [entry.pointer],
    part: { number: node, of: cluster.replicas },
    namespace: std.get(cluster, 'namespace', state.namespace),
    need: cluster.backup,
    [if std.objectHas(cluster, 'reason') then 'reason']: cluster.reason,
    capture: {
      how: 'exec',
      image: 'k8up',
      extension: '.tar',
      source: 'cassandra://' + cluster.host + ':' + cluster.port + '/' + pod,
      workload: { kind: 'StatefulSet', name: cluster.statefulSet, pod: pod, container: container },
      env: {
        CASSANDRA_POD: pod,
        CASSANDRA_CONTAINER: container,
        CASSANDRA_DATA_DIR: cluster.dataDir,
        CASSANDRA_KEYSPACES: std.join('\n', std.sort([k.name for k in cluster.keyspaces])),
        CASSANDRA_USER: cluster.adminUser,
      },
      secretEnv: [{ name: 'CASSANDRA_PASSWORD', secret: cluster.adminRef.name, key: cluster.adminRef.key }],
    },
    connects: [{ host: 'kubernetes', purpose: 'exec in ' + pod }],
    rbac: exec.rules(pod),
    // openDesk's Dovecot keeps the mails in a bucket, and their index here.
    refersTo: ['objects/dovecot'],
    expect: { marker: 'schema.cql', minBytes: 1024, minCount: std.max(std.length(cluster.keyspaces), std.get(cluster, 'minTables', 0)) },
  };

// A ring that is skipped may be one that nobody here can enter: it has no nodes
// to speak of.
local skipped(state, entry) =
  local cluster = entry.value;
  {
    id: 'cassandra/' + cluster.id,
    covers: [entry.pointer],
    namespace: std.get(cluster, 'namespace', state.namespace),
    need: cluster.backup,
    reason: cluster.reason,
    expect: {},
  };

{
  units(state): std.flattenArrays([
    if entry.value.backup == 'skip' then [skipped(state, entry)]
    else [unit(state, entry, node=node) for node in std.range(0, entry.value.replicas - 1)]
    for entry in states.each(state, '/databases/cassandra')
  ]),
}
