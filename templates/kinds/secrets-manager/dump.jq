# The dump, of all secrets; $config are the settings of the mount.
{ mount: env.SM_MOUNT, prefix: (env.SM_PREFIX // ""), format: "holdfast.dev/kv-v2", formatVersion: 1,
  config: $config[0], count: (map(select(has("data"))) | length),
  secrets: (map({key: .path, value: del(.path)}) | from_entries) }
