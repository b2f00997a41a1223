// The namespaces that hold an instance's own objects, by their role: the
// application's, the databases', and each one in which a source is that is
// backed up. Those of the platform (operator, monitoring) belong to nobody's
// backup, and exemptNamespaces says of others that they need none.

// inSources lists the namespaces that a section's sources name.
local inSources(value) =
  if std.isArray(value) then std.flatMap(inSources, value)
  else if !std.isObject(value) || std.get(value, 'backup') == 'skip' then []
  else
    (if std.isString(std.get(value, 'namespace')) then [value.namespace] else []) +
    std.flatMap(inSources, [value[name] for name in std.objectFields(value)]);

// Sections that hold no sources; what they call namespace is something else.
local others = ['backup', 'cluster', 'kubernetes', 'namespace', 'namespaces', 'network'];

{
  own(state)::
    local databases = std.get(std.get(state, 'namespaces', {}), 'mariadb', state.namespace);
    local exempt = [e.namespace for e in std.get(std.get(state, 'kubernetes', {}), 'exemptNamespaces', [])];
    local sources = std.uniq(std.sort(inSources({
      [section]: state[section]
      for section in std.objectFields(state)
      if !std.member(others, section)
    })));
    [
      own
      for own in
        [{ role: 'application', name: state.namespace }] +
        (if databases == state.namespace then [] else [{ role: 'mariadb', name: databases }]) +
        [{ role: name, name: name } for name in sources if name != state.namespace && name != databases]
      if !std.member(exempt, own.name)
    ],
}
