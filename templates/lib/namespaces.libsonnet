// The namespaces that hold an instance's own objects, by their role. Those of
// the platform (operator, monitoring) belong to nobody's backup.
{
  own(state)::
    local databases = std.get(std.get(state, 'namespaces', {}), 'mariadb', state.namespace);
    [{ role: 'application', name: state.namespace }] +
    (if databases == state.namespace then [] else [{ role: 'mariadb', name: databases }]),
}
