local namespaces = import '../../lib/namespaces.libsonnet';
local resources = import '../../lib/resources.libsonnet';
local source = import '../../lib/source.libsonnet';
local states = import '../../lib/state.libsonnet';

// What is copied is listed, so that the plan and a golden diff show it. Secrets
// are another unit; pods, replica sets, endpoints, leases and events are made
// by others.
local groups = {
  '': ['configmaps', 'limitranges', 'persistentvolumeclaims', 'resourcequotas', 'serviceaccounts', 'services'],
  apps: ['daemonsets', 'deployments', 'statefulsets'],
  autoscaling: ['horizontalpodautoscalers'],
  batch: ['cronjobs', 'jobs'],
  'cert-manager.io': ['certificates', 'issuers'],
  'external-secrets.io': ['externalsecrets', 'secretstores'],
  'gateway.networking.k8s.io': ['httproutes'],
  'k8up.io': ['podconfigs', 'prebackuppods', 'schedules'],
  'networking.k8s.io': ['ingresses', 'networkpolicies'],
  policy: ['poddisruptionbudgets'],
  'rbac.authorization.k8s.io': ['rolebindings', 'roles'],
};
local listed(state) = resources.add(groups, std.get(state.kubernetes, 'extraResources', []));

local unit(state, own, number) = {
  local namespace = own[number].name,
  // The application's ConfigMaps live in its own namespace.
  local configMaps = if namespace == state.namespace then std.get(state.kubernetes, 'configMaps', []) else [],
  id: 'namespace-manifests/' + own[number].role,
  covers: ['/kubernetes/exportNamespaceYaml'],
  part: { number: number, of: std.length(own) },
  namespace: namespace,
  need: 'required',
  capture: {
    how: 'dump',
    image: 'k8up',
    extension: '.json',
    source: 'kubernetes://' + namespace + '/manifests',
    env: {
      RESOURCES: resources.names(listed(state)),
      CONFIG_MAPS: std.join('\n', configMaps),
    },
  },
  connects: [{ host: 'kubernetes', purpose: 'list objects' }],
  rbac: resources.rules(listed(state), ['list']),
  expect: { minBytes: 100, minCount: 1 },
};

// The ConfigMaps that the state names are places of their own: migrations-status
// cannot be rebuilt from anything else.
local configMapUnit(state, entry) =
  local name = entry.value;
  {
    id: 'namespace-manifests/' + name,
    covers: [entry.pointer],
    namespace: state.namespace,
    need: 'required',
    capture: {
      how: 'dump',
      image: 'k8up',
      extension: '.json',
      source: 'kubernetes://' + state.namespace + '/configmaps/' + name,
      env: { RESOURCES: 'configmaps/' + name, CONFIG_MAPS: name },
    },
    connects: [{ host: 'kubernetes', purpose: 'read the ConfigMap' }],
    rbac: [{ apiGroups: [''], resources: ['configmaps'], resourceNames: [name], verbs: ['get'] }],
    expect: { minBytes: 20, minCount: 1 },
  };

local skip(state) = {
  id: 'namespace-manifests/application',
  covers: ['/kubernetes/exportNamespaceYaml'],
  namespace: state.namespace,
  need: 'skip',
  reason: states.get(state, '/kubernetes/reasons/exportNamespaceYaml', otherwise=''),
  expect: {},
};

{
  units(state):
    if !std.objectHas(state, 'kubernetes') then [] else
      local own = namespaces.own(state);
      (if std.get(state.kubernetes, 'exportNamespaceYaml', false)
       then [unit(state, own, n) for n in std.range(0, std.length(own) - 1)]
       else [skip(state)]) +
      [configMapUnit(state, entry) for entry in states.each(state, '/kubernetes/configMaps')],

  // Restoring writes what was read and nothing else, by server-side apply: that
  // names what it makes, so that a right may be for one name.
  restore(item, request): source.restoreJob(
    item,
    request,
    rbac=[grant { verbs: ['get', 'create', 'patch'] } for grant in item.rbac],
    mounts=[],
    volumes=[],
  ),
}
