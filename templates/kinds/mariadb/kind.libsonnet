local connection = import '../../lib/connection.libsonnet';
local files = import '../../lib/files.libsonnet';
local states = import '../../lib/state.libsonnet';

local lines(list) = std.join('\n', list);

local unit(state, entry) =
  local server = entry.value;
  {
    id: 'mariadb/' + server.id,
    covers: [entry.pointer],
    namespace: std.get(server, 'namespace', states.get(state, '/namespaces/mariadb', otherwise=state.namespace)),
    need: server.backup,
    [if std.objectHas(server, 'reason') then 'reason']: server.reason,
    capture: {
      how: 'dump',
      image: 'client',
      // Major and minor: 10.6 and 10.11 have other formats.
      serverVersion: std.join('.', std.split(server.serverVersion, '.')[0:2]),
      extension: '.sql',
      source: 'mariadb://' + server.host + ':' + server.port,
      env: {
        MARIADB_HOST: server.host,
        MARIADB_PORT: std.toString(server.port),
        MARIADB_USER: server.username,
        MARIADB_TLS: std.get(server, 'tls', 'disable'),
        MARIADB_DISCOVER: if std.get(server, 'discover', true) then 'yes' else 'no',
        EXPECT_DATABASES: lines(std.get(server, 'expectDatabases', [])),
        EXPECT_PATTERNS: lines(std.get(server, 'expectPatterns', [])),
        EXCLUDE_DATABASES: lines(std.get(server, 'excludeDatabases', [])),
        [if std.objectHas(server, 'minTables') then 'MIN_TABLES']: std.toString(server.minTables),
      },
      secretEnv: [{ name: 'MYSQL_PWD', secret: server.passwordRef.name, key: server.passwordRef.key }],
      files: files.ca(std.get(server, 'caRef')),
    },
    connects: [{ host: server.host, port: server.port, purpose: 'MariaDB server ' + server.id }],
    limits: connection.limits(server),
    // openDesk's OX App Suite, whose databases have names of their own.
    refersTo: ['objects/openxchange'],
    expect: {
      marker: '-- Dump completed',
      minBytes: 500,
      minCount: std.max(1, std.length(std.get(server, 'expectDatabases', []))),
    },
  };

{
  units(state): [unit(state, entry) for entry in states.each(state, '/databases/mariadb')],
}
