local connection = import '../../lib/connection.libsonnet';
local files = import '../../lib/files.libsonnet';
local states = import '../../lib/state.libsonnet';

// The client has the server's own major version: an older one refuses the
// server, and a newer one writes settings that an older server refuses.
local client(server) = 'client-' + std.split(server.serverVersion, '.')[0];

local reach(server) = { host: server.host, port: server.port, purpose: 'PostgreSQL server ' + server.id };

// Without a word about TLS, libpq's own default holds; the state says why it may.
local sslMode(server) = std.get(server, 'sslMode', 'prefer');

local env(server, database) = {
  PGHOST: server.host,
  PGPORT: std.toString(server.port),
  PGUSER: database.username,
  PGSSLMODE: sslMode(server),
  // Where there is no CA of its own, connect.sh looks for the image's.
  [if std.get(server, 'caRef') != null then 'PGSSLROOTCERT']: '/holdfast/files/ca.crt',
};

local capture(server, database) = {
  how: 'dump',
  image: client(server),
  // A newer minor version of the server is no matter.
  serverVersion: std.split(server.serverVersion, '.')[0],
  secretEnv: [{ name: 'PGPASSWORD', secret: database.passwordRef.name, key: database.passwordRef.key }],
  files: files.ca(std.get(server, 'caRef')),
};

// listing shows every database of the server, with the login of one of them.
local listing(server, database) = {
  of: 'postgresql://' + server.host + ':' + server.port,
  command: std.join(' ', [
    'psql',
    '--no-psqlrc --tuples-only --no-align',
    '--host=' + std.escapeStringBash(server.host),
    '--port=' + server.port,
    '--username=' + std.escapeStringBash(database.username),
    '--dbname=' + std.escapeStringBash(database.name),
    "--command='select datname from pg_database where not datistemplate'",
  ]),
};

local databaseUnit(state, server, entry) =
  local database = entry.value;
  {
    id: 'postgresql/' + database.key,
    covers: [entry.pointer],
    namespace: std.get(server, 'namespace', state.namespace),
    need: database.backup,
    [if std.objectHas(database, 'reason') then 'reason']: database.reason,
    capture: capture(server, database) + {
      extension: '.pgdump',
      source: 'postgresql://' + server.host + ':' + server.port + '/' + database.name,
      env: env(server, database) + {
        HOLDFAST_MODE: 'database',
        PGDATABASE: database.name,
        HOLDFAST_OWNER: std.get(database, 'owner', database.username),
        HOLDFAST_CREATE_PARAMS: std.get(database, 'createParams', ''),
      },
    },
    connects: [reach(server)],
    listing: listing(server, database),
    limits: connection.limits(server),
    // An application's database and its bucket have one key.
    refersTo: ['objects/' + database.key],
    secrets: [database.passwordRef.name],
    // A database without tables is only right where its application is off.
    expect: { marker: 'PGDMP', minBytes: 500, minCount: std.get(database, 'minTables', std.get(server, 'minTables', 1)) } + (
      if !std.get(database, 'appEnabled', true) then { allowEmpty: { reason: 'the application is not enabled' } }
      else if std.get(database, 'contentPolicy') == 'may-be-empty' then { allowEmpty: { reason: 'the state says that it may be empty' } }
      else {}
    ),
  };

// Roles and grants belong to the server, so one unit holds them. It connects as
// the user of the server's first database, by key, that is required, or else is
// backed up: reading roles without their passwords needs no more. A superuser
// reads those, too; the passwords themselves are in Secrets.
local globalsUnit(state, entry) =
  local server = entry.value;
  local usable = std.sort([d for d in server.databases if d.backup != 'skip'], function(d) [if d.backup == 'required' then 0 else 1, d.key]);
  local need = std.get(server, 'backup', if std.length(usable) == 0 then 'skip' else 'required');
  {
    id: 'postgresql/' + server.id + '-globals',
    // Databases grant to roles, which must be there.
    restoreOrder: 39,
    covers: [entry.pointer],
    namespace: std.get(server, 'namespace', state.namespace),
    need: need,
    expect: {},
  } + (
    if need == 'skip' || std.length(usable) == 0
    then { need: 'skip', reason: std.get(server, 'reason', 'no database of this server is backed up') }
    else {
      capture: capture(server, usable[0]) + {
        extension: '.sql',
        source: 'postgresql://' + server.host + ':' + server.port + '/(globals)',
        env: env(server, usable[0]) + {
          HOLDFAST_MODE: 'globals',
          HOLDFAST_ROLE_PASSWORDS: if std.get(server, 'superuser', false) then 'yes' else 'no',
          PGDATABASE: usable[0].name,
        },
      },
      connects: [reach(server)],
      limits: connection.limits(server),
      expect: { marker: '-- PostgreSQL database cluster dump complete', minBytes: 200, minCount: 1 },
    }
  );

{
  units(state): std.flattenArrays([
    [globalsUnit(state, server)] +
    [databaseUnit(state, server=server.value, entry=database) for database in states.within(server, '/databases')]
    for server in states.each(state, '/databases/postgresql')
  ]),
}
