// A kind without a fault. Cases import it and change one thing.
local source = import '../../lib/source.libsonnet';

{
  units(state): [
    {
      id: 'widget/' + state.widgets[w].name,
      covers: ['/widgets/' + w],
      namespace: state.namespace,
      need: std.get(state.widgets[w], 'backup', 'required'),
      capture: {
        how: 'dump',
        image: 'tool',
        extension: '.txt',
        source: 'widget:' + state.widgets[w].name,
      },
      expect: { minBytes: 1 },
    }
    for w in std.range(0, std.length(std.get(state, 'widgets', [])) - 1)
  ],

  objects(item): source.dump(item),

  restore(item, request): source.restoreJob(item, request, rbac=[], mounts=[], volumes=[]),

  // change applies f to the objects of one kind.
  change(objects, kind, f):: [if o.kind == kind then f(o) else o for o in objects],

  // extra is a ConfigMap beside the kind's own objects.
  extra(item, data):: {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: item.name + '-extra', namespace: item.namespace, labels: item.labels },
    data: data,
  },
}
