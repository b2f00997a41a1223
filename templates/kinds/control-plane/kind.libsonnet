local resources = import '../../lib/resources.libsonnet';
local source = import '../../lib/source.libsonnet';
local states = import '../../lib/state.libsonnet';

local groups = {
  '': ['namespaces', 'nodes', 'persistentvolumes'],
  'admissionregistration.k8s.io': ['mutatingwebhookconfigurations', 'validatingwebhookconfigurations'],
  'apiextensions.k8s.io': ['customresourcedefinitions'],
  'apiregistration.k8s.io': ['apiservices'],
  'networking.k8s.io': ['ingressclasses'],
  'rbac.authorization.k8s.io': ['clusterrolebindings', 'clusterroles'],
  'scheduling.k8s.io': ['priorityclasses'],
  'storage.k8s.io': ['csidrivers', 'storageclasses'],
};

local unit(state) = {
  id: 'control-plane/export',
  covers: ['/kubernetes/exportClusterScoped'],
  namespace: state.namespace,
  need: 'required',
  capture: {
    how: 'dump',
    image: 'k8up',
    extension: '.json',
    source: 'kubernetes://' + state.cluster.name + '/cluster-scoped',
    env: {
      RESOURCES: resources.names(groups),
      EXPECT_NAMESPACE: state.namespace,
    },
  },
  connects: [{ host: 'kubernetes', purpose: 'list cluster-scoped objects' }],
  clusterRbac: resources.rules(groups, ['list']),
  expect: { minBytes: 1000, minCount: 3 },
};

{
  units(state):
    if !std.objectHas(state, 'kubernetes') then []
    else if std.get(state.kubernetes, 'exportClusterScoped', false) then [unit(state)]
    else [{
      id: 'control-plane/export',
      covers: ['/kubernetes/exportClusterScoped'],
      namespace: state.namespace,
      need: 'skip',
      reason: states.get(state, '/kubernetes/reasons/exportClusterScoped', otherwise=''),
      expect: {},
    }],

  // Comparing gets what the export listed, one by one; applying is left to people.
  restore(item, request):
    source.restore(item, request) +
    source.restoreClusterRole(item, resources.rules(groups, ['get'])),
}
