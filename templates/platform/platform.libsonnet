// The tree of one instance: what the kinds make of its units, and what belongs
// to no kind. Each entry is a file and its objects.
//
//   repository/   applied first: Secrets, repositories, pod shapes, the preflight,
//                 and what restores need
//   backup/       applied when the repositories stand: everything that runs
//   restore/      never applied by itself: one request for each unit
local k8s = import '../lib/k8s.libsonnet';
local k8up = import '../lib/k8up.libsonnet';
local source = import '../lib/source.libsonnet';
local flux = import 'flux.libsonnet';
local network = import 'network.libsonnet';
local preflight = import 'preflight.libsonnet';
local repository = import 'repository.libsonnet';
local unit = import 'unit.libsonnet';
local verify = import 'verify.libsonnet';
local volumes = import 'volumes.libsonnet';

// units are the plan's units as templates see them: each with what it needs of
// the plan beside its own part.
local units(plan) =
  // Worked out once for each repository, not for each of its units.
  local repositories = {
    [id]: plan.repositories[id] {
      secretEnv: k8up.resticSecrets(plan.repositories[id]),
      values: k8up.resticValues(plan.repositories[id]),
    }
    for id in std.objectFields(plan.repositories)
  };
  [
    item {
      instanceLock: plan.instanceLock,
      platformImages: plan.platform.images,
      toolResources: plan.platform.resources.tool,
      ownSecrets: [secret.name for secret in plan.secrets if secret.namespace == item.namespace],
      [if std.objectHas(item, 'repository') then 'repository']: repositories[item.repository],
    }
    for item in plan.units
  ];

// objectsOf and restoreOf are what a kind makes of a unit, or what follows from how
// the unit is captured.
local objectsOf(kind, item) = (if std.objectHasAll(kind, 'objects') then kind else source).objects(item);
local restoreOf(kind, item) = (if std.objectHasAll(kind, 'restore') then kind else source).restore(item, unit.request(item));

{
  // objects and restore are what one kind makes of its units. They are asked for
  // when files fails, to learn which kind it was.
  objects(plan, kind, name):: [
    { unit: item.id, objects: objectsOf(kind, item) }
    for item in units(plan)
    if item.kind == name
  ],
  restore(plan, kind, name):: [
    { unit: item.id, objects: restoreOf(kind, item) }
    for item in units(plan)
    if item.kind == name
  ],

  // files is what the machine calls: plan, kinds by name, each kind's scripts by
  // name, and the scripts that all kinds share.
  files(plan, kinds, scripts, shared)::
    // Without a source there is nothing to apply; plan.json says so.
    if !plan.enabled || std.length(plan.units) == 0 then [] else
      local backup = plan.instance + '/backup/';
      local items = units(plan);
      // A ConfigMap is what others refer to; the rest of a unit runs.
      local made = { [item.name]: objectsOf(kinds[item.kind], item) for item in items };
      local bases = {
        [item.name]: unit.base(plan, item) + [o for o in made[item.name] if o.kind == 'ConfigMap']
        for item in items
      };
      [flux.file(plan)] +
      repository.files(plan, shared) +
      [
        { path: item.baseFile, objects: [k8s.first(object) for object in bases[item.name]] }
        for item in items
      ] +
      [
        { path: item.file, objects: [o for o in made[item.name] if o.kind != 'ConfigMap'] + unit.objects(plan, item) }
        for item in items
      ] +
      unit.scriptFiles(plan, items, scripts=scripts, shared=shared, repository=plan.instance + '/repository/') +
      preflight.files(plan, items, bases=bases, scripts=scripts, shared=shared) +
      [
        {
          path: plan.instance + '/repository/' + namespace + '/platform.yaml',
          objects: [k8s.first(object) for object in unit.sharedBase(plan, namespace)],
        }
        for namespace in plan.namespaces
      ] +
      [
        {
          path: plan.instance + '/repository/' + verifier.namespace + '/verify.yaml',
          objects: [k8s.first(object) for object in verify.base(plan, verifier, shared=shared)],
        }
        for verifier in plan.verifiers
      ] +
      [
        { path: backup + verifier.namespace + '/verify.yaml', objects: verify.objects(plan, verifier) }
        for verifier in plan.verifiers
      ] +
      [
        {
          path: backup + namespace + '/platform.yaml',
          objects: unit.shared(plan, namespace) + network.shared(plan, namespace) + volumes.objects(plan, namespace),
        }
        for namespace in plan.namespaces
      ] +
      [file for repo in std.objectValues(plan.repositories) for file in repository.maintenance(plan, repo, backup=backup)] +
      [
        { path: item.restoreFile, objects: restoreOf(kinds[item.kind], item) + unit.restoreObjects(plan, item) }
        for item in items
      ],
}
