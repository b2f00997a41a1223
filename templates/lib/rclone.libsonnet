// The environment that describes rclone's remotes. Values come from the plan,
// secrets by reference; the crypt remote is made by the script, for only the
// job itself can obscure a password.
local k8s = import 'k8s.libsonnet';

{
  // s3 describes an S3 remote by environment: RCLONE_CONFIG_<NAME>_….
  // no_check_bucket keeps rclone from creating a bucket that was mistyped.
  s3(remote, provider, endpoint, region, pathStyle)::
    local key = 'RCLONE_CONFIG_' + remote + '_';
    {
      [key + 'TYPE']: 's3',
      [key + 'PROVIDER']: provider,
      [key + 'ENDPOINT']: endpoint,
      [key + 'REGION']: region,
      [key + 'FORCE_PATH_STYLE']: if pathStyle then 'true' else 'false',
      [key + 'NO_CHECK_BUCKET']: 'true',
      [key + 'ENV_AUTH']: 'false',
    },

  // accessKey and secretKey are the remote's credentials, by reference.
  accessKey(remote, ref):: { name: 'RCLONE_CONFIG_' + remote + '_ACCESS_KEY_ID', secret: ref.name, key: ref.key },
  secretKey(remote, ref):: { name: 'RCLONE_CONFIG_' + remote + '_SECRET_ACCESS_KEY', secret: ref.name, key: ref.key },

  // backupValues and backupSecrets are the backup's own side: the S3 remote BAK
  // and what the script needs to make the crypt remote above it.
  backupValues(copy):: $.s3(
    'BAK',
    provider=copy.provider,
    endpoint=copy.endpoint,
    region=copy.region,
    pathStyle=true,
  ) + {
    RCLONE_CONFIG: '/holdfast/scratch/rclone.conf',
    RCLONE_CACHE_DIR: '/holdfast/scratch/cache',
    HOLDFAST_BACKUP: 'bak:' + copy.path,
    CANARY_PATH: copy.canaryPath,
    CANARY_SHA256: copy.canarySha256,
    CRYPT_PASSWORDS_ARE: copy.passwordsAre,
    RCLONE_CONFIG_ENC_FILENAME_ENCRYPTION: copy.filenameEncryption,
    RCLONE_CONFIG_ENC_DIRECTORY_NAME_ENCRYPTION: if copy.directoryNameEncryption then 'true' else 'false',
    RCLONE_CONFIG_ENC_FILENAME_ENCODING: copy.filenameEncoding,
    [if copy.ca != '' then 'RCLONE_CA_CERT']: '/holdfast/ca/ca.crt',
  },
  backupSecrets(copy):: k8s.secretEnv(
    [
      $.accessKey('BAK', { name: copy.secret, key: 'access-key-id' }),
      $.secretKey('BAK', { name: copy.secret, key: 'secret-access-key' }),
      { name: 'CRYPT_PASSWORD', secret: copy.secret, key: 'crypt-password' },
    ] +
    (if copy.salted then [{ name: 'CRYPT_PASSWORD2', secret: copy.secret, key: 'crypt-password2' }] else [])
  ),
}
