# What dump.sh and restore.sh ask of a path.

# settings: those of a path, or of the mount, as they compare.
def settings: { cas_required: (.cas_required // false), max_versions: (.max_versions // 0),
  delete_version_after: (.delete_version_after // "0s"), custom_metadata: (.custom_metadata // {}) };

# dead: of a version. A time of deletion may be one to come.
def dead: .destroyed or ((.deletion_time // "") | . != "" and (sub("[.][0-9]+"; "") | fromdate) <= now);

# instant: a time, as it compares. Fractions of a second have as many digits as needed, so
# they are padded.
def instant: (. // "") | capture("^(?<s>[^.Z]*)(\\.(?<f>[0-9]+))?Z$") // {s: "9999", f: ""}
  | .s + "." + (((.f // "") + "000000000")[0:9]);
