// NetworkPolicies: everything that we run is denied by default, and may connect
// where the plan says and nowhere else. Nothing needs ingress: exec reaches a
// pod through its kubelet.
local k8s = import '../lib/k8s.libsonnet';

local port(number, protocol) = { port: number, protocol: protocol };
local inNamespace(name) = { namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': name } } };

// rule is one allowed destination in Kubernetes' own terms.
local rule(plan, egress) =
  if egress.to == 'dns' then {
    to: [inNamespace(plan.network.dns.namespace) { podSelector: { matchLabels: plan.network.dns.labels } }],
    ports: [port(egress.port, 'UDP'), port(egress.port, 'TCP')],
  } else {
    to: if egress.to == 'namespace' then [inNamespace(egress.namespace)]
    else if egress.to == 'any' then [{ ipBlock: { cidr: '0.0.0.0/0', except: egress.except } }]
    else [{ ipBlock: { cidr: cidr } } for cidr in egress.cidrs],
    ports: [port(egress.port, 'TCP')],
  };

// Cilium knows the API server and host names; an address range does not match
// either of them there.
local ciliumRule(plan, egress) =
  // Nobody need say where the API server listens.
  local toPorts = {
    [if std.objectHas(egress, 'port') then 'toPorts']: [{ ports: [{ port: std.toString(egress.port), protocol: 'TCP' }] }],
  };
  if egress.to == 'apiserver' then { toEntities: ['kube-apiserver'] } + toPorts
  else { toFQDNs: [{ matchName: egress.host }] } + toPorts;
local ciliumDNS(plan) = {
  toEndpoints: [{
    matchLabels: {
      'k8s:io.kubernetes.pod.namespace': plan.network.dns.namespace,
    } + { ['k8s:' + name]: plan.network.dns.labels[name] for name in std.objectFields(plan.network.dns.labels) },
  }],
  toPorts: [{
    ports: [{ port: '53', protocol: 'ANY' }],
    rules: { dns: [{ matchPattern: '*' }] },
  }],
};

// plain allows a selection of pods the given egress and no ingress.
local plain(plan, name, namespace, labels, selector, egress) =
  k8s.object('networking.k8s.io/v1', 'NetworkPolicy', name=name, namespace=namespace, labels=labels, spec={
    podSelector: selector,
    policyTypes: ['Ingress', 'Egress'],
    ingress: [],
    egress: [rule(plan, e) for e in egress],
  });

// special adds what only Cilium can express.
local special(plan, name, namespace, labels, selector, egress) =
  if std.length(egress) == 0 then [] else [
    k8s.object('cilium.io/v2', 'CiliumNetworkPolicy', name=name, namespace=namespace, labels=labels, spec={
      endpointSelector: selector,
      egress: [ciliumRule(plan, e) for e in egress] +
              (if std.length([e for e in egress if e.to == 'host']) > 0 then [ciliumDNS(plan)] else []),
    }),
  ];

// policies are what the cluster's policy engine understands.
local policies(plan, name, namespace, labels, selector, egress) =
  if plan.network.engine == 'kubernetes' then [plain(plan, name, namespace, labels, selector, egress)]
  else if plan.network.engine == 'none' then []
  else
    local onlyCilium(e) = e.to == 'apiserver' || e.to == 'host';
    [plain(plan, name, namespace, labels, selector, [e for e in egress if !onlyCilium(e)])] +
    special(plan, name, namespace, labels, selector, [e for e in egress if onlyCilium(e)]);

local role(plan, name) = { matchLabels: { 'holdfast.dev/instance': plan.instance, 'holdfast.dev/role': name } };

{
  // unit: the pods that read the source. K8up overwrites the labels of its dump
  // pods, so they are selected by K8up's own.
  unit(plan, item)::
    local how = item.capture.how;
    (if how == 'volume' then []
     else policies(
       plan,
       item.name,
       item.namespace,
       item.labels,
       if how == 'sync'
       then { matchLabels: { 'holdfast.dev/unit': item.name, 'holdfast.dev/role': 'source' } }
       else { matchLabels: { 'k8up.io/preBackupPod': item.name } },
       item.egress,
     )),

  // admission: a target that denies by default must admit the dump pod, the
  // restore, and the preflight.
  admission(plan, item):: [
    k8s.object('networking.k8s.io/v1', 'NetworkPolicy', name=item.name + '.ingress', namespace=target.namespace, labels=item.labels, spec={
      podSelector: {},
      policyTypes: ['Ingress'],
      ingress: [{
        from: [
          inNamespace(item.namespace) { podSelector: { matchLabels: { 'k8up.io/preBackupPod': item.name } } },
          inNamespace(item.namespace) { podSelector: { matchLabels: { 'holdfast.dev/unit': item.name, 'holdfast.dev/role': 'restore' } } },
          inNamespace(item.namespace) { podSelector: role(plan, 'preflight') },
        ],
        ports: [port(target.port, 'TCP')],
      }],
    })
    for target in std.get(item, 'ingress', [])
  ],

  restore(plan, item):: policies(
    plan,
    item.restore,
    item.namespace,
    item.labels,
    { matchLabels: { 'holdfast.dev/unit': item.name, 'holdfast.dev/role': 'restore' } },
    item.restoreEgress,
  ),

  preflight(plan, preflight):: policies(
    plan,
    preflight.name,
    preflight.namespace,
    plan.labels,
    role(plan, 'preflight'),
    preflight.egress,
  ),

  bootstrap(plan, repo):: policies(
    plan,
    plan.prefix + '-bootstrap',
    repo.namespace,
    plan.labels,
    role(plan, 'bootstrap'),
    repo.egress,
  ),

  // shared: the default for every pod that carries the instance's label, and
  // K8up's jobs by their roles. A check talks to the repository only; the
  // others also to the API server.
  shared(plan, namespace)::
    if plan.network.engine == 'none' then [] else
      [
        k8s.object(
          'networking.k8s.io/v1',
          'NetworkPolicy',
          name=plan.prefix + '-default-deny',
          namespace=namespace,
          labels=plan.labels,
          spec={
            podSelector: { matchLabels: { 'holdfast.dev/instance': plan.instance } },
            policyTypes: ['Ingress', 'Egress'],
            ingress: [],
            egress: [],
          },
        ),
      ] +
      [
        policy
        for repo in std.objectValues(plan.repositories)
        if repo.namespace == namespace
        for job in ['job', 'check', 'prune']
        for policy in policies(
          plan,
          plan.prefix + '-' + job,
          namespace,
          plan.labels,
          { matchLabels: role(plan, job).matchLabels { k8upjob: 'true' } },
          repo.egress + (if job == 'check' then [] else [plan.api]),
        )
      ] +
      [
        policy
        for marker in plan.markers
        if marker.namespace == namespace
        for policy in policies(plan, marker.name, namespace, plan.labels, role(plan, 'marker'), marker.egress)
      ] +
      [
        policy
        for verifier in plan.verifiers
        if verifier.namespace == namespace
        for policy in policies(plan, verifier.name, namespace, plan.labels, role(plan, 'verify'), verifier.egress)
      ],
}
