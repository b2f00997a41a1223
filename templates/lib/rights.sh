#!/bin/sh
# rights.sh is sourced by what asks for our rights, after common.sh: export.sh, and the
# preflights of kinds that it exports for. It needs jq and kubectl.

# allowed VERB RESOURCE OPTION: "true" if we may, on stdout. Not by "kubectl auth
# can-i": that forgets the group of an API that is absent.
allowed() {
  # shellcheck disable=SC2016 # jq's own variables
  attempt 73 'writing to scratch' jq -cn --arg verb "$1" --arg name "$2" --arg option "$3" '
    ($name | split("/")) as $part
    | ($part[0] | split(".")) as $word
    | { apiVersion: "authorization.k8s.io/v1", kind: "SelfSubjectAccessReview", spec: { resourceAttributes: {
          verb: $verb, group: ($word[1:] | join(".")), resource: $word[0], name: ($part[1] // ""),
          namespace: (if $option | startswith("--namespace=") then $option[12:] else "" end) } } }' >"$WORK/review"
  attempt 70 "asking for the right to $1 $2" \
    kubectl create --raw=/apis/authorization.k8s.io/v1/selfsubjectaccessreviews --filename="$WORK/review" >"$WORK/answer" </dev/null
  attempt 70 'reading the answer' jq .status.allowed "$WORK/answer"
}

# readable RESOURCE OPTION: dies unless we may list it, or get it if it has a name.
readable() {
  readable_verb='list'
  case $1 in
    */*) readable_verb='get' ;;
  esac
  allowed "$readable_verb" "$1" "$2" >"$WORK/readable"
  read -r readable_answer <"$WORK/readable"
  [ "$readable_answer" = true ] || die 70 "no right to $readable_verb $1: forbidden"
}
