local connection = import '../../lib/connection.libsonnet';
local exec = import '../../lib/exec.libsonnet';
local files = import '../../lib/files.libsonnet';
local source = import '../../lib/source.libsonnet';
local states = import '../../lib/state.libsonnet';

// slapcat inside the running pod is the default: it has every attribute and
// needs no password. ldapsearch is for directories that forbid exec.
local method(ldap) = std.get(ldap, 'method', 'slapcat');

// The schema demands these two of a directory that is backed up.
local statefulSet(ldap) = std.get(ldap, 'statefulSet', '');
local container(ldap) = std.get(ldap, 'container', '');

// Primaries mirror each other, so one of them holds everything: the holder of
// the leader's lease if the state names one, else the first.
local pods(ldap) = [statefulSet(ldap) + '-' + n for n in std.range(0, std.max(std.get(ldap, 'replicasPrimary', 1), 1) - 1)];

local leaseGrant(ldap) =
  if std.objectHas(ldap, 'leaderLease') then [
    { apiGroups: ['coordination.k8s.io'], resources: ['leases'], resourceNames: [ldap.leaderLease], verbs: ['get'] },
  ] else [];

local readable(ldap) =
  if std.objectHas(ldap, 'leaderLease')
  then std.flattenArrays([exec.rules(pod) for pod in pods(ldap)]) + leaseGrant(ldap)
  else exec.rules(pods(ldap)[0]);

local unit(state, entry) =
  local ldap = entry.value;
  {
    id: 'openldap/directory',
    covers: [entry.pointer],
    namespace: std.get(ldap, 'namespace', state.namespace),
    need: ldap.backup,
    [if std.objectHas(ldap, 'reason') then 'reason']: ldap.reason,
    capture: {
      how: if method(ldap) == 'slapcat' then 'exec' else 'dump',
      image: if method(ldap) == 'slapcat' then 'k8up' else 'client',
      extension: '.ldif',
      source: 'ldap://' + ldap.host + ':' + ldap.port + '/' + ldap.baseDn,
      workload: { kind: 'StatefulSet', name: statefulSet(ldap), pod: pods(ldap)[0], container: container(ldap) },
      env: {
        HOLDFAST_METHOD: method(ldap),
        LDAP_BASE_DN: ldap.baseDn,
        LDAP_ADMIN_DN: std.get(ldap, 'adminDn', ''),
        LDAP_URI: 'ldap://' + ldap.host + ':' + ldap.port,
        LDAP_STARTTLS: if std.get(ldap, 'startTls', false) then 'yes' else 'no',
        LDAP_POD: pods(ldap)[0],
        LDAP_CONTAINER: container(ldap),
        LDAP_LEASE: std.get(ldap, 'leaderLease', ''),
        LDAP_PRIMARIES: std.toString(std.get(ldap, 'replicasPrimary', 1)),
      },
      secretEnv: if method(ldap) == 'slapcat' then [] else [
        { name: 'LDAP_PASSWORD', secret: ldap.passwordRef.name, key: ldap.passwordRef.key },
      ],
      // The CA of a server that ldapsearch raises to TLS.
      files: if method(ldap) == 'slapcat' then [] else files.ca(std.get(ldap, 'caRef')),
    },
    connects: if method(ldap) == 'slapcat'
    then [{ host: 'kubernetes', purpose: 'exec in ' + statefulSet(ldap) }]
    else [{ host: ldap.host, port: ldap.port, purpose: 'LDAP server' }],
    limits: connection.limits(ldap),
    rbac: if method(ldap) == 'slapcat' then readable(ldap) else [],
    // The last line of a whole copy.
    expect: { marker: '# holdfast: complete, ', minBytes: 1000, minCount: std.get(ldap, 'minEntries', 1) },
  };

{
  units(state): [unit(state, entry) for entry in states.one(state, '/ldap')],

  restore(item, request): source.restoreJob(item, request, rbac=exec.rules(item.capture.workload.pod), mounts=[], volumes=[]),
}
