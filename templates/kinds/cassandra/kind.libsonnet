local exec = import '../../lib/exec.libsonnet';

// With one copy of each row a node's loss is data loss, so every node is a
// unit; together they cover the cluster.
local unit(state, cluster, c, node) =
  local pod = cluster.statefulSet + '-' + node;
  local container = std.get(cluster, 'container', 'cassandra');
  {
    id: 'cassandra/' + cluster.id + '-' + node,
    covers: ['/databases/cassandra/' + c],
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
local skipped(state, cluster, c) = {
  id: 'cassandra/' + cluster.id,
  covers: ['/databases/cassandra/' + c],
  namespace: std.get(cluster, 'namespace', state.namespace),
  need: cluster.backup,
  reason: cluster.reason,
  expect: {},
};

{
  units(state):
    local clusters = std.get(std.get(state, 'databases', {}), 'cassandra', []);
    std.flattenArrays([
      if clusters[c].backup == 'skip'
      then [skipped(state, clusters[c], c)]
      else [unit(state, clusters[c], c, node) for node in std.range(0, clusters[c].replicas - 1)]
      for c in std.range(0, std.length(clusters) - 1)
    ]),
}
