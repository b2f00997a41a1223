// Walks a state. What it finds has its value and its pointer, which is what a unit's
// covers needs.
local tokens(path) = [std.strReplace(std.strReplace(token, '~1', '/'), '~0', '~') for token in std.split(path, '/')[1:]];

// found is what stands at a path below a value, in a list; [] if nothing does.
local found(value, tokens) =
  if std.length(tokens) == 0 then [value]
  else if std.isObject(value) && std.objectHas(value, tokens[0]) then found(value[tokens[0]], tokens[1:])
  else [];

{
  // get is the value at a path such as '/databases/mariadb', or another if there is none.
  get(value, path, otherwise):: local at = found(value, tokens(path)); if std.length(at) == 0 then otherwise else at[0],

  // each lists the entries of the list at a path of the state, {value, pointer}; none
  // where there is no list.
  each(state, path):: $.within({ value: state, pointer: '' }, path),

  // within lists those of a list below an entry: the databases of a server.
  within(entry, path)::
    local list = $.get(entry.value, path, otherwise=[]);
    if !std.isArray(list) then error 'there is no list at ' + entry.pointer + path + ' of the state, but ' + std.type(list)
    else std.mapWithIndex(function(n, value) { value: value, pointer: entry.pointer + path + '/' + n }, list),

  // one is what stands at a path, {value, pointer}, in a list of one entry; none where
  // nothing does.
  one(state, path):: [{ value: value, pointer: path } for value in found(state, tokens(path))],
}
