#!/bin/sh
# export.sh is sourced by dumps of objects of Kubernetes, after common.sh. It needs jq
# and kubectl.
. "$HOLDFAST_ROOT/bin/rights.sh"

# listable RESOURCE…: no Secrets, and nothing that kubectl could take for an
# option. Secrets are a unit of their own, with rights of their own.
listable() {
  for listable_name in "$@"; do
    case $listable_name in
      [!a-z]* | *[!a-z0-9./_-]*) die 64 "\"$listable_name\" names no resource" ;;
      secret | secrets | secret/* | secrets/* | secret.* | secrets.*) die 64 'Secrets belong to the kind kubernetes-secrets' ;;
    esac
  done
}

# The API server sends lists page by page, this many objects each. An object may
# have a megabyte and a half, and jq takes three times that.
EXPORT_PAGE=50

# export_objects LIST OPTION INDEX [TOP]: every object of the listed resources
# ("resource", "resource.group" or "resource/name") in $WORK/dump, one on each line of
# a JSON List, as the API server has them in its order; kubectl and jq never see more
# than a page. INDEX is a jq filter that makes a line of $WORK/index of each object, with
# those of objects.jq.
# TOP is a jq filter that makes further fields of the List; $skipped is what was
# skipped, and stands there, too.
#
# An API that is absent, or whose own server does not answer, is recorded as skipped
# and does not stop the others; anything else does. kubectl's exit code does not tell
# them apart, so the API server is asked.
export_objects() {
  [ -n "$(lines "$1")" ] || die 64 'RESOURCES is empty'
  lines "$1" >"$WORK/resources" || die 73 'scratch is full'
  [ -s "$WORK/resources" ] || die 73 'scratch is full'
  echo '{"apiVersion":"v1","kind":"List","metadata":{},"items":[' >"$WORK/dump" || die 73 'scratch is full'
  : >"$WORK/texts"
  : >"$WORK/skipped"
  mkdir -- "$WORK/api" || die 73 'scratch cannot be written'
  export_started=0
  while IFS= read -r resource <&3; do
    listable "$resource"
    export_place "$resource" "$2" || continue
    export_pages "$resource" "$2" "$3"
  done 3<"$WORK/resources"
  attempt 73 'writing the list' jq -r . "$WORK/texts" >"$WORK/index"
  attempt 73 'writing the list' jq -r -n --slurpfile skipped "$WORK/skipped" \
    "{skipped: \$skipped} + (${4:-null} // {}) | \"],\" + tojson[1:]" >"$WORK/end"
  cat -- "$WORK/end" >>"$WORK/dump" || die 73 'scratch is full'
  rm -rf -- "$WORK/api" "$WORK/page" "$WORK/part"
}

# export_ask RESOURCE OPTION PATH FILE: what the API server says there; not 0 if it
# was skipped for it.
export_ask() {
  export_status=0
  bounded kubectl get --raw "$3" >"$4" 2>"$WORK/stderr" </dev/null || export_status=$?
  if [ "$export_status" -ne 0 ]; then
    export_skip "$1" "$2" "$export_status"
    return 1
  fi
  # jq takes nothing at all for fine.
  [ -s "$4" ] || die 70 "listing $1: kubectl printed no list of $1"
}

# export_place RESOURCE OPTION: sets export_kind, export_version and export_path, by
# what the API server says of the group: the version that it prefers of those that
# have the resource, as kubectl does.
export_place() {
  export_name=''
  case $1 in
    */*) export_name=${1#*/} ;;
  esac
  # They become parts of a path.
  case $export_name in
    *[!a-z0-9.-]* | [!a-z0-9]*) [ -z "$export_name" ] || die 64 "\"$1\" names no resource" ;;
  esac
  export_group=${1%%/*}
  export_plural=${export_group%%.*}
  case $export_group in
    *.*) export_group=${export_group#*.} ;;
    *) export_group='' ;;
  esac
  export_file=$WORK/api/${export_group:-core}
  if [ ! -e "$export_file" ]; then
    if [ -z "$export_group" ]; then
      echo v1 >"$export_file" || die 73 'scratch is full'
    else
      export_ask "$1" "$2" "/apis/$export_group" "$WORK/group" || return 1
      # shellcheck disable=SC2016 # jq's and awk's own variables
      attempt_silently 70 "listing $1: reading the list of versions" jq -r '
        if .kind == "APIGroup" then [.preferredVersion.version] + [.versions[].version] | reduce .[] as $v ([]; if index([$v]) then . else . + [$v] end) | .[]
        else error("this is no group") end' "$WORK/group" >"$export_file.part"
      mv -- "$export_file.part" "$export_file" || die 73 'scratch is full'
    fi
  fi
  while IFS= read -r export_version <&4; do
    export_api=/apis/$export_group/$export_version
    [ -n "$export_group" ] || export_api=/api/$export_version
    if [ ! -e "$export_file.$export_version" ]; then
      export_ask "$1" "$2" "$export_api" "$export_file.part" || return 1
      mv -- "$export_file.part" "$export_file.$export_version" || die 73 'scratch is full'
    fi
    # shellcheck disable=SC2016 # jq's and awk's own variables
    attempt_silently 70 "listing $1: reading the list of resources" jq -r --arg name "$export_plural" '
      if .kind == "APIResourceList" then .resources[] | select(.name == $name) | "\(.kind) \(.namespaced)"
      else error("this is no list") end' "$export_file.$export_version" >"$WORK/found"
    [ -s "$WORK/found" ] || continue
    read -r export_kind export_namespaced <"$WORK/found"
    [ -z "$export_group" ] || export_version=$export_group/$export_version
    export_path=$export_api/$export_plural
    case $2 in
      --namespace=*) [ "$export_namespaced" != true ] || export_path=$export_api/namespaces/${2#--namespace=}/$export_plural ;;
    esac
    return 0
  done 4<"$export_file"
  echo 'the server does not have a resource type of this name' >"$WORK/stderr"
  export_skip "$1" "$2" 1
  return 1
}

# export_pages RESOURCE OPTION INDEX: all pages of it, or the one object.
export_pages() {
  export_query="?limit=$EXPORT_PAGE"
  [ -z "$export_name" ] || export_query=/$export_name
  export_next=
  while :; do
    export_ask "$1" "$2" "$export_path$export_query$export_next" "$WORK/page" || {
      # The first page may be of an API that is away. Half a list is no list.
      [ -z "$export_next" ] || die 70 "listing $1: its API went away in the middle"
      return 0
    }
    # Two lines of each: the object, and a text for the index.
    attempt_silently 70 "listing $1: reading the list of $1" jq -cS -L "$HOLDFAST_ROOT/bin" --arg kind "$export_kind" --arg version "$export_version" --arg name "$export_name" "
      include \"objects\";
      (if \$name != \"\" then (if .metadata.name == \$name then . else error(\"this is another object\") end)
       elif (.kind | type) == \"string\" and (.kind | endswith(\"List\")) and (.metadata | type) == \"object\" then (.items // [])[]
       else error(\"this is no list\") end)
      | {apiVersion: \$version, kind: \$kind} + .
      | del(.metadata.managedFields, .metadata.resourceVersion, .metadata.selfLink,
            .metadata.annotations[\"kubectl.kubernetes.io/last-applied-configuration\"])
      | ., ($3 | tostring)" "$WORK/page" >"$WORK/part"
    # shellcheck disable=SC2016 # jq's and awk's own variables
    attempt 73 'writing the list' awk -v started="$export_started" -v texts="$WORK/texts" '
      /^"/ { print >>texts; next }
      { print (started++ ? "," : "") $0 }' "$WORK/part" >>"$WORK/dump"
    [ ! -s "$WORK/part" ] || export_started=1
    export_next=
    if [ -z "$export_name" ]; then
      attempt_silently 70 "listing $1: reading the list of $1" jq -r '.metadata.continue // "" | if . == "" then "" else "&continue=" + @uri end' "$WORK/page" >"$WORK/next"
      read -r export_next <"$WORK/next"
    fi
    [ -n "$export_next" ] || return 0
  done
}

# export_skip RESOURCE OPTION STATUS: record it, or die.
export_skip() {
  skip_verb='list'
  case $1 in
    */*)
      skip_verb='get'
      ! grep -q '(NotFound)' "$WORK/stderr" || die 65 "$1 does not exist"
      ;;
  esac
  ! grep -q '(Forbidden)' "$WORK/stderr" || failed 70 "listing $1" "$3"
  bounded kubectl get --raw /version >/dev/null 2>"$WORK/version.err" </dev/null || failed 70 "listing $1" "$3"
  cp -- "$WORK/stderr" "$WORK/list.stderr" || die 73 'scratch cannot be written'
  allowed "$skip_verb" "$1" "$2" >"$WORK/allowed"
  mv -- "$WORK/list.stderr" "$WORK/stderr" || die 73 'scratch cannot be written'
  read -r skip_answer <"$WORK/allowed"
  [ "$skip_answer" = true ] || failed 70 "listing $1 (no right to $skip_verb it)" "$3"
  # An API server that went away for a moment, or was too slow, gives no reason to
  # call a copy whole that lacks what it did not tell.
  if grep -Eq '\(ServiceUnavailable\)|unable to handle the request' "$WORK/stderr"; then
    skip_reason=unreachable
  elif grep -Eq "have a resource type|could not find the requested resource|no matches for kind" "$WORK/stderr"; then
    skip_reason=absent
  else
    failed 70 "listing $1" "$3"
  fi
  case ${1%%/*} in
    # Other servers' APIs and those of CRDs are in groups with a domain.
    *.*.*) ;;
    *) failed 70 "listing $1" "$3" ;;
  esac
  say "skipped $1: its API is $skip_reason"
  # shellcheck disable=SC2016 # jq's own variables
  attempt 73 'writing to scratch' \
    jq -cn --arg resource "$1" --arg reason "$skip_reason" '{resource: $resource, reason: $reason}' >>"$WORK/skipped"
}
