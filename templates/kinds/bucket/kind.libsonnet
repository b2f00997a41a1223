local connection = import '../../lib/connection.libsonnet';
local rclone = import '../../lib/rclone.libsonnet';
local states = import '../../lib/state.libsonnet';

// An access key's id is often a plain value beside a secret key that is none.
local access(store) =
  if std.objectHas(store, 'accessKey') then { env: { RCLONE_CONFIG_SRC_ACCESS_KEY_ID: store.accessKey }, secretEnv: [] }
  else { env: {}, secretEnv: [rclone.accessKey('SRC', store.accessKeyRef)] };

// With SSE-C the server keeps no key: each request for an object brings it.
local encryption(store) =
  if !std.objectHas(store, 'sse') then { env: {}, secretEnv: [], limits: [] }
  else {
    local sse = store.sse,
    local base64 = std.get(sse, 'keyEncoding', 'plain') == 'base64',
    env: { RCLONE_CONFIG_SRC_SSE_CUSTOMER_ALGORITHM: std.get(sse, 'algorithm', 'AES256') },
    secretEnv: [{
      name: 'RCLONE_CONFIG_SRC_SSE_CUSTOMER_KEY' + (if base64 then '_BASE64' else ''),
      secret: sse.customerKeyRef.name,
      key: sse.customerKeyRef.key,
    }],
    limits: ['objects that were written without the customer key, or with another one, cannot be read: the run then fails'],
  };

local unit(state, entry) =
  local store = entry.value;
  {
    local prefix = std.get(store, 'prefix', ''),
    id: 'bucket/' + store.key,
    covers: [entry.pointer],
    namespace: state.namespace,
    need: store.backup,
    [if std.objectHas(store, 'reason') then 'reason']: store.reason,
    capture: {
      how: 'sync',
      image: 'rclone',
      source: 'bucket:' + store.endpoint + '/' + store.bucket + (if prefix == '' then '' else '/' + prefix),
      env: rclone.s3(
        'SRC',
        provider='Other',
        endpoint=store.endpoint,
        region=std.get(store, 'region', ''),
        pathStyle=std.get(store, 'pathStyle', true),
      ) + access(store).env + encryption(store).env + {
        HOLDFAST_SOURCE: 'src:' + store.bucket + (if prefix == '' then '' else '/' + prefix),
      },
      secretEnv: access(store).secretEnv + [rclone.secretKey('SRC', store.secretKeyRef)] + encryption(store).secretEnv,
    },
    listing: {
      of: 'bucket:' + store.endpoint,
      // The key may see all buckets of its owner; rclone finds it in the environment.
      command: 'rclone lsf --dirs-only ' + std.escapeStringBash(':s3,provider=Other,env_auth=true,endpoint="' + store.endpoint + '":'),
    },
    connects: [connection.target(store.endpoint) { purpose: 'source bucket', http: true }],
    rbac: [],
    // A required bucket that lists as empty is a mistyped prefix, a lost
    // credential or a lost bucket: never a reason to delete the copy.
    expect: { minCount: std.get(store, 'minObjects', if store.backup == 'required' then 1 else 0) },
    limits: [
              'bucket policy, CORS and lifecycle rules are not objects and are not copied',
            ] + (if std.get(store, 'versioned', false) then ['older versions of the objects are not copied, only the current ones'] else []) +
            encryption(store).limits +
            connection.limits(store),
    secrets: [store.secretKeyRef.name],
  } + (
    // What refers to the objects goes before them: then every object that it names is in
    // the copy. The state may say instead what goes before.
    if std.objectHas(store, 'consistentWith') then { consistent: store.consistentWith }
    else { holds: ['objects/' + store.key] }
  );

{
  units(state): [unit(state, entry) for entry in states.each(state, '/objectStores')],
}
