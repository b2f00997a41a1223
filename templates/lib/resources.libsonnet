// Lists of API resources, by group; the core group is ''. One list serves both
// sides: what a dump asks for, and what it may read.
{
  // names are what kubectl calls them: "deployments.apps".
  names(groups):: std.join('\n', [
    if group == '' then resource else resource + '.' + group
    for group in std.objectFields(groups)
    for resource in groups[group]
  ]),

  // rules are the RBAC rules for them, one for each group.
  rules(groups, verbs):: [
    { apiGroups: [group], resources: groups[group], verbs: verbs }
    for group in std.objectFields(groups)
  ],

  // add puts further ones, each "group/resource", to the groups.
  add(groups, more):: std.foldl(
    function(all, one)
      local parts = std.split(one, '/');
      all { [parts[0]]: std.get(all, parts[0], []) + [parts[1]] },
    more,
    groups,
  ),
}
