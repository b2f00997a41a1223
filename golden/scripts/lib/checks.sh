#!/bin/sh
# checks.sh is sourced by the preflight and by each kind's preflight.sh: how a
# finding is written, and what an error means in plain words. It needs nothing
# but what the shell has built in, for a missing tool is one of the findings.
#
# A finding is a line of HOLDFAST_FINDINGS: result, unit, check, what, what to do
# next, with tabs between them. Results are ok, warn and FAIL.

tab='	'
newline='
'

# plain TEXT: it on one line, without tabs, in PLAIN.
plain() {
  plain_rest=$1
  PLAIN=
  while :; do
    case $plain_rest in
      *"$newline"*)
        PLAIN="$PLAIN${plain_rest%%"$newline"*}; "
        plain_rest=${plain_rest#*"$newline"}
        ;;
      *"$tab"*)
        PLAIN="$PLAIN${plain_rest%%"$tab"*} "
        plain_rest=${plain_rest#*"$tab"}
        ;;
      *) break ;;
    esac
  done
  PLAIN=$PLAIN$plain_rest
  PLAIN=${PLAIN:--}
}

# finding RESULT CHECK WHAT [NEXT]: of HOLDFAST_UNIT. An optional unit only warns.
finding() {
  finding_result=$1
  if [ "$finding_result" = FAIL ] && [ "${HOLDFAST_NEED:-required}" = optional ]; then
    finding_result=warn
  fi
  plain "$3"
  finding_what=$PLAIN
  plain "${4:-}"
  printf '%s\t%s\t%s\t%s\t%s\n' "$finding_result" "${HOLDFAST_UNIT:--}" "$2" "$finding_what" "$PLAIN" >>"$HOLDFAST_FINDINGS"
}

# older A B: whether version A comes before B: 2.9 before 2.15.0, 1.31 not before 1.31.0.
older() {
  older_a=${1%%[-+]*} older_b=${2%%[-+]*}
  older_a=${older_a#v}. older_b=${older_b#v}.
  while [ -n "$older_a$older_b" ]; do
    older_x=${older_a%%.*} older_y=${older_b%%.*}
    older_a=${older_a#"$older_x"} older_b=${older_b#"$older_y"}
    older_a=${older_a#.} older_b=${older_b#.}
    older_x=${older_x%%[!0-9]*} older_y=${older_y%%[!0-9]*}
    [ "${older_x:-0}" -eq "${older_y:-0}" ] || {
      [ "${older_x:-0}" -lt "${older_y:-0}" ]
      return
    }
  done
  return 1
}

# version_in TEXT: the first version that it holds, in VERSION; MariaDB's clients
# name their own before it.
version_in() {
  VERSION=$1
  case $VERSION in
    *Distrib\ *) VERSION=${VERSION#*Distrib } ;;
  esac
  VERSION=${VERSION#"${VERSION%%[0-9]*}"}
  VERSION=${VERSION%%[!0-9.]*}
  VERSION=${VERSION%.}
}

# tool NAME: its path in FOUND. Not by "command -v": that takes what the shell
# has built in for a program.
# shellcheck disable=SC2034 # for the caller
tool() {
  FOUND=
  tool_rest=$PATH:
  while [ -n "$tool_rest" ]; do
    tool_place=${tool_rest%%:*}/$1
    tool_rest=${tool_rest#*:}
    if [ -f "$tool_place" ] && [ -x "$tool_place" ]; then
      FOUND=$tool_place
      return 0
    fi
  done
  return 1
}

# meaning TEXT: sets MEANING and, where it is known, NEXT. Clients say the same in
# words of their own. PASSES is set if it may be over in a moment.
meaning() {
  NEXT=
  PASSES=
  case $1 in
    *'could not translate host name'* | *'Unknown server host'* | *'Unknown MySQL server host'* | *'ould not resolve host'* | \
      *'no such host'* | *'Name or service not known'* | *'Name does not resolve'* | *'emporary failure in name resolution'* | *'bad address'*)
      MEANING='the name does not resolve'
      PASSES=yes
      NEXT='correct the host in the state; is network.dns right?'
      ;;
    *'certificate verify failed'* | *'certificate signed by unknown authority'* | *'SSL certificate problem'* | *'self-signed certificate'* | \
      *'self signed certificate'* | *'unable to get local issuer'* | *'certificate problem'* | *'verifying certificate'* | *'TLS trust verification failed'*)
      MEANING='its certificate is not signed by the CA that is trusted here'
      NEXT='put the CA of the server into caRef or caPem'
      ;;
    *'ldap_start_tls: Connect error'*)
      MEANING='TLS fails: its certificate is not signed by the CA that is trusted here, or it has none'
      NEXT='put the CA of the server into caRef'
      ;;
    *'password authentication failed'* | *'ccess denied for user'* | *'nvalid credentials'* | *'invalid username or password'* | \
      *'SignatureDoesNotMatch'* | *'InvalidAccessKeyId'* | *'AuthenticationFailed'* | *'no password supplied'* | *'Bad credentials'* | \
      *'username and/or password are incorrect'*)
      MEANING='the login is refused'
      NEXT='compare user and password, or key, with those that the server knows'
      ;;
    *'AccessDenied'* | *'Forbidden'* | *'forbidden'* | *'ermission denied'* | *'access denied'* | *'nsufficient access'* | *'StatusCode: 403'* | *'HTTP 403'*)
      MEANING='it is not allowed'
      ;;
    *'onnection refused'* | *"ouldn't connect to server"* | *'ould not connect to server'* | \
      *"Can't connect to"* | *"Can't contact LDAP server"*)
      MEANING='nothing answers at that port'
      PASSES=yes
      NEXT='correct host and port in the state; does the server run?'
      ;;
    *'timed out'* | *'timeout'* | *'Timeout'* | *'did not end within'* | *'deadline exceeded'* | *'No route to host'* | *'unreachable'*)
      MEANING='no answer'
      PASSES=yes
      NEXT='a wrong address, a firewall, or a NetworkPolicy of the target that does not admit this namespace'
      ;;
    *' is not set'*)
      MEANING='a value is missing'
      NEXT='the Secret that the state names for it is absent, or lacks the key'
      ;;
    *NoSuchBucket*)
      MEANING='there is no such bucket'
      NEXT='correct the bucket in the credentials'
      ;;
    *)
      MEANING=
      PASSES=yes
      ;;
  esac
}

# outage: whether so much has been asked for in vain that this is no passing moment.
# To ask on and on would take the Job beyond its deadline, and nobody would read why.
outage() {
  outage_count=0
  for outage_file in "${HOLDFAST_FINDINGS%/*}"/*.silent; do
    [ -f "$outage_file" ] || continue
    while read -r _; do
      outage_count=$((outage_count + 1))
    done <"$outage_file"
  done
  [ "$outage_count" -ge 8 ]
}

# check NAME NEXT COMMAND [ARG…]: the command in a shell of its own, and a finding
# of it. What it writes to stderr says what is wrong; NEXT what to do, unless the
# error itself tells. The caller has sourced common.sh.
check() {
  check_name=$1
  check_next=$2
  shift 2
  # A Service has nobody behind it for a moment when its pod is slow to say that it
  # is ready, a policy reaches a node a little after the pod, and a busy API server
  # does not answer at once. Nobody wants to be called for that. Who did not answer
  # three times is noted for outage().
  for check_pause in 4 8 ''; do
    check_status=0
    ("$@") >/dev/null 2>"$WORK/check" || check_status=$?
    if [ "$check_status" -eq 0 ]; then
      finding ok "$check_name" -
      return 0
    fi
    check_text=
    without_secrets <"$WORK/check" >"$WORK/check.said" || die 69 "awk failed in $HERE"
    while IFS= read -r check_line || [ -n "$check_line" ]; do
      check_line=${check_line#"holdfast: ${HOLDFAST_UNIT:-(no unit)}: "}
      check_line=${check_line#"${check_line%%[! ]*}"}
      [ -z "$check_line" ] || check_text=$check_text${check_text:+; }$check_line
    done <"$WORK/check.said"
    meaning "$check_text"
    # 69 and 70: whoever was asked did not answer; all else is an answer.
    case "$check_status $PASSES" in
      '69 yes' | '70 yes') ;;
      *) break ;;
    esac
    [ -n "$check_pause" ] || echo >>"$HOLDFAST_FINDINGS.silent"
    ! outage || break
    [ -z "$check_pause" ] || sleep "$check_pause" || :
  done
  finding FAIL "$check_name" "$MEANING${MEANING:+: }${check_text:-exit code $check_status}" "${NEXT:-$check_next}"
  return 1
}

# inside POD CONTAINER: the tools that the contract of the image in that pod lists
# are there. They are looked for by name, and where the contract has them.
# shellcheck disable=SC2016 # expanded in the pod
inside() {
  inside_pod=$1
  inside_container=$2
  set --
  while IFS=' ' read -r inside_name inside_path inside_min; do
    [ -z "$inside_name" ] || set -- "$@" "$inside_name=$inside_path"
  done <"$HOLDFAST_INSIDE"
  : "$inside_min"
  attempt 69 "exec in $inside_pod" \
    kubectl exec --namespace="$HOLDFAST_NAMESPACE" --container="$inside_container" "$inside_pod" -- \
    sh -c 'for t; do command -v "${t%%=*}" >/dev/null 2>&1 || [ -x "${t#*=}" ] || echo "${t%%=*}"; done; echo "# end"' holdfast "$@" >"$WORK/inside" </dev/null
  inside_missing=
  inside_end=
  while IFS= read -r inside_line; do
    case $inside_line in
      '# end') inside_end=yes ;;
      *) inside_missing="$inside_missing $inside_line" ;;
    esac
  done <"$WORK/inside"
  [ -n "$inside_end" ] || die 69 "exec in $inside_pod: the answer is cut"
  [ -z "$inside_missing" ] || die 65 "the image of $inside_pod, container $inside_container, lacks:$inside_missing"
}
