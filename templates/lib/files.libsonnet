// Files that a unit's pods find under /holdfast/files.
{
  // ca is the CA bundle that a state's caRef names; none for a public CA.
  ca(ref)::
    if ref == null then []
    else if ref.kind == 'ConfigMap' then [{ name: 'ca.crt', configMap: ref.name, key: ref.key }]
    else [{ name: 'ca.crt', secret: ref.name, key: ref.key }],
}
