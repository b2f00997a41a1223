# verify.jq judges what is stored of each unit of a namespace. $what says what is asked for:
#
#   read    the dumps to read whole, a line each: fields with "=" in front and tabs between
#   patch   the status, as a merge patch of its ConfigMap
#   report  a line for each unit that is not well
#   red     how many required units are not well
#
# Times are seconds since 1970 here, and RFC 3339 in UTC in the status.

def epoch:
  (. // "" | capture("^(?<t>[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})([.][0-9]+)?(?<sign>Z|[+-])((?<h>[0-9]{2}):(?<m>[0-9]{2}))?$"))
  // null
  | if . == null then null
    else (.t + "Z" | fromdateiso8601) as $at
      | if .sign == "Z" then $at
        else $at + (if .sign == "+" then -60 else 60 end) * ((.h | tonumber) * 60 + (.m | tonumber)) end
    end;
def rfc3339: if . == null then "" else todate end;

# How long a dump that is too large for one run may wait to be read again, in seconds.
def readAgain: 8 * 86400;
# Below so many bytes a copy may shrink as it likes.
def smallest: 4096;
# How far a clock of a node may be ahead, in seconds.
def ahead: 600;

# before is what the status says of a unit; of what is no such line, nothing. In an array,
# for jq 1.6 lets a try catch what fails behind it, too.
def before($name):
  [($status[0].data // {})[$name] // "null" | try fromjson catch null][0]
  | if type == "object" then . else {} end
  | with_entries(select(
      (.value | type) == (if .key == "failures" or .key == "bytes" or .key == "count" then "number" elif .key == "history" then "array" else "string" end)))
  | .history = [(.history // [])[] | numbers];

# own are the snapshots of a unit, oldest first.
def own($e):
  [ $snapshots[0][]
    | select(.hostname == $e.host and .paths == [$e.path] and ((.tags // []) | index([$e.unit]) != null))
    | {id: .id, taken: (.time | epoch), bytes: .summary.total_bytes_processed, files: .summary.total_files_processed} ]
  | sort_by(.taken);

# runs are K8up's Backups of a unit that have ended, oldest first.
def runs($e):
  [ $backups[0].items[]
    | select(any(.spec.labelSelectors[]?; .matchLabels["holdfast.dev/unit"] == $e.name))
    | {name: .metadata.name, started: (.metadata.creationTimestamp | epoch),
       reason: ([.status.conditions[]? | select(.type == "Completed") | .reason][0])} ]
  | sort_by(.started);

def dump($e): $e.how == "dump" or $e.how == "exec";

# repository judges a unit whose copies are snapshots.
def repository($e):
  before($e.name) as $b
  | own($e) as $own
  | $own[-1] as $newest
  | runs($e) as $runs
  | [$runs[] | select(.reason != null)][-1] as $run
  | ([$read[] | select(.name == $e.name and .id == $newest.id)][0]) as $found
  # The seven before the newest, whether it was looked at before or not.
  | ($b.history | (if $newest != null and $b.snapshot == $newest.id[:8] then .[:-1] else . end) | .[-7:]) as $earlier
  | ($found != null and $found.why == null) as $readNow
  | ($found.why // null | if . == null then null else gsub("holdfast: [^ ]+: "; "") | gsub("\\s+"; " ") | rtrimstr(" ") end) as $why
  | (if $readNow then $now else $b.read | epoch end) as $readAt
  | (if $readNow then $newest.id else $b.readOf // "" end) as $readOf
  | {
      taken: $newest.taken,
      attempt: ([$newest.taken, $runs[-1].started] | max),
      backup: ($runs[-1].name // ""),
      tried: (if $found != null then $now else $b.tried | epoch end),
      # What was found bad stays so until it is read again, and found well.
      badOf: (if $why != null then $newest.id elif $readNow then "" else $b.badOf // "" end),
      bad: (if $why != null then $why elif $readNow then "" else $b.bad // "" end),
      snapshot: (if $newest == null then $b.snapshot // "" else $newest.id[:8] end),
      bytes: $newest.bytes,
      count: (if dump($e) then (if $readNow then $found.count elif $readOf == ($newest.id // "") then $b.count else null end) else $newest.files end),
      read: $readAt,
      readOf: $readOf,
      history: (if $newest == null then $b.history else $earlier + [$newest.bytes // 0] end),
      reason: (
        if $unreadable != "" then "the repository cannot be read: " + ($unreadable | gsub("\\s+"; " "))
        elif $newest == null then
          if ($b.taken // "") != "" then "every copy is gone: the last one that was seen is of \($b.taken)"
          elif $run != null and $run.reason != "Succeeded" then "there is no copy: the backup \($run.name) failed"
          elif $run != null then "there is no copy: K8up calls \($run.name) a success, but nothing of it is stored"
          else "there is no copy yet" end
        elif $newest.taken == null or $newest.taken > $now + ahead then "the newest copy is of \($newest.taken | rfc3339), which is not yet: a clock is wrong"
        elif $run != null and $run.reason != "Succeeded" then "the backup \($run.name) of \($run.started | rfc3339) failed"
        elif $run != null and $run.started > $newest.taken + ahead then
          "K8up calls \($run.name) of \($run.started | rfc3339) a success, but nothing of it is stored"
        elif $now > $newest.taken + $e.rpo then
          "the newest copy is of \($newest.taken | rfc3339), and the next one was due by \($newest.taken + $e.rpo | rfc3339)"
          + (if ($runs[-1].started // 0) <= $newest.taken then ": no backup was started" else "" end)
        elif $newest.bytes == null then "the snapshot does not tell its size: an old restic made it"
        elif (dump($e) | not) and $newest.files == 0 and ($e.mayBeEmpty // "") == "" then "the copy has no file"
        elif (dump($e) | not) and $newest.files < ($e.minCount // 0) and (($e.mayBeEmpty // "") == "" or $newest.files > 0) then
          "the copy has \($newest.files) files, fewer than \($e.minCount)"
        elif $why != null then $why
        elif dump($e) and ($readNow | not) and ($b.badOf // "") == $newest.id then $b.bad
        elif ($e.mayBeEmpty // "") == "" and $newest.bytes < ($e.minBytes // 0) then "it has \($newest.bytes) bytes, fewer than \($e.minBytes)"
        elif dump($e) and $readOf != $newest.id and ($readAt == null or $now - $readAt > readAgain) then
          "its bytes were not read: there was no time left"
        elif ($e.mayBeEmpty // "") == "" and ($earlier | max // 0) > smallest and $newest.bytes * 2 < ($earlier | max) then
          "it has shrunk to \($newest.bytes) bytes, less than half of what one of the last seven had, \($earlier | max)"
        else null end
      ),
      fresh: ($newest == null and ($b.taken // "") == "" and $unreadable == "" and $run == null)
    };

# copy judges a unit that a CronJob of ours copies: it counts on both sides before it ends
# well.
def copy($e):
  before($e.name) as $b
  | ([$copies[] | select(.metadata.name == $e.name)][0]) as $job
  | ($job.status.lastSuccessfulTime | epoch) as $success
  | ($job.status.lastScheduleTime | epoch) as $started
  | {
      taken: $success, attempt: $started, backup: "", snapshot: "", bytes: null, count: null, read: null, readOf: "", tried: null, badOf: "", bad: "", history: [],
      reason: (
        if $job == null then "the CronJob \($e.name) is gone"
        elif $job.spec.suspend == true then "the CronJob \($e.name) is suspended"
        elif $success == null and $started != null and ($job.status.active // [] | length) == 0 then "the run of \($started | rfc3339) failed, and none has ended well yet"
        elif $success == null then "no run has ended well yet"
        elif $success > $now + ahead then "the last good run is of \($success | rfc3339), which is not yet: a clock is wrong"
        elif ($started // 0) > $success and ($job.status.active // [] | length) == 0 then "the run of \($started | rfc3339) failed"
        elif $now > $success + $e.rpo then "the last good run is of \($success | rfc3339), and the next one was due by \($success + $e.rpo | rfc3339)"
        else null end
      ),
      fresh: ($job != null and $success == null and ($started == null or ($job.status.active // [] | length) > 0))
    };

# judged is the line of a unit.
def judged($e):
  before($e.name) as $b
  | ($b.since // ($now | rfc3339)) as $since
  | (if $e.how == "sync" then copy($e) else repository($e) end)
  | (if .reason == null then "ok"
     elif .fresh and $now <= ($since | epoch) + $e.rpo then "waiting"
     else "failed" end) as $result
  | {
      unit: $e.unit, need: $e.need, result: $result, reason: (.reason // "" | .[:500]), since: $since,
      lastAttempt: (.attempt | rfc3339), backup: .backup,
      lastSuccess: (if $result == "ok" then .taken | rfc3339 else $b.lastSuccess // "" end),
      nextDue: ((.taken // ($since | epoch)) + $e.rpo | rfc3339),
      failures: (if $result == "failed" then ($b.failures // 0) + 1 else 0 end),
      snapshot: .snapshot,
      # What is gone is told by when it was.
      taken: (if .taken == null then $b.taken // "" else .taken | rfc3339 end),
      bytes: .bytes, count: .count, read: (.read | rfc3339), readOf: .readOf, tried: (.tried | rfc3339), badOf: .badOf, bad: (.bad | .[:500]), history: .history
    };

$expected[0] as $units
| if $what == "read" then
    [ $units[] | select(dump(.)) | . as $e | own($e)[-1] as $newest | before($e.name) as $b
      | select($newest != null and $b.readOf != $newest.id)
      | {at: ($b.tried | epoch // 0), line: ([$e.name, $e.unit, $newest.id, $e.path, $e.marker // "", $e.minBytes // 0, $e.minCount // 0, $e.mayBeEmpty // ""] | map("=\(.)") | join("\t"))} ]
    | sort_by(.at) | .[].line
  else
    [ $units[] | {key: .name, value: judged(.)} ] as $lines
    | if ($lines | length) != ($units | length) then error("a unit has no line") else . end
    | [ $lines[].value | select(.result == "failed" and .need == "required") ] as $red
    | if $what == "red" then $red | length
      elif $what == "report" then $lines[].value | select(.result != "ok") | "holdfast: \(.unit): \(.result), \(.need): \(.reason)"
      else
        # Of two looks at once the second is refused: it may have listed before the first.
        { metadata: {resourceVersion: $status[0].metadata.resourceVersion}, data: (
            ($status[0].data // {} | map_values(null)) + ($lines | map(.value |= tojson) | from_entries) + {
              verifier: ({
                schemaVersion: 1, instance: env.HOLDFAST_INSTANCE, cluster: (env.HOLDFAST_CLUSTER // ""), namespace: env.HOLDFAST_NAMESPACE,
                time: ($now | rfc3339), nextBy: ($now + $next | rfc3339), units: ($lines | length), red: ($red | length)
              } | tojson)
            }) }
      end
  end
