#!/bin/sh
# cluster.sh tries what belongs to no unit: the API server and its version, K8up's
# version, the way to every endpoint, and the storage of the restic repository.
#
#   KUBERNETES_OLDEST K8UP_OLDEST       what works at all
#   KUBERNETES_DECLARED K8UP_DECLARED   what the state says; "" = nothing
#   K8UP_DEPLOYMENT                     the name of the operator's Deployment
#   K8UP_NAMESPACE                      its namespace; "" = any
#   RESTIC_REPOSITORY                   and the storage's own variables; "" = there is none
# shellcheck disable=SC2016,SC2034,SC2154 # jq has variables of its own; checks.sh has the others
set -eu
HOLDFAST_ROOT=${HOLDFAST_ROOT:-/holdfast}
. "$HOLDFAST_ROOT/preflight/common.sh"
. "$HOLDFAST_ROOT/preflight/checks.sh"
. "$HOLDFAST_ROOT/preflight/storage.sh"
begin

# compared NAME REAL OLDEST DECLARED WHY
compared() {
  if older "$2" "$3"; then
    finding FAIL "$1" "it is $2, and $3 is the oldest that works: $5" "upgrade it to $3 or later"
  elif [ -n "$4" ] && older "$2" "$4"; then
    finding FAIL "$1" "the state says $4, but the cluster has $2" 'upgrade it, or correct the state'
  else
    finding ok "$1" "$2"
  fi
}

version_of_kubernetes() {
  attempt 70 'asking the API server for its version' kubectl get --raw /version >"$WORK/version" </dev/null
  attempt 70 'reading the version' jq -er '.gitVersion | ltrimstr("v")' "$WORK/version" >"$WORK/kubernetes"
}

# operator: its image and arguments, in $WORK/k8up; empty if there is none.
operator() {
  set -- --all-namespaces
  if [ -n "${K8UP_NAMESPACE:-}" ]; then
    set -- --namespace="$K8UP_NAMESPACE"
  fi
  # By its name alone: that is the right that we have.
  attempt 70 "reading the Deployment $K8UP_DEPLOYMENT" \
    kubectl get deployments.apps "$@" --field-selector="metadata.name=$K8UP_DEPLOYMENT" --output=json >"$WORK/deployments" </dev/null
  attempt 70 'reading the Deployment' jq -r '
    def version: capture(":v?(?<v>[0-9]+[.][0-9]+([.][0-9]+)?[^@/]*)(@.*)?$").v;
    .items[]
    | . as $deployment
    | .spec.template.spec.containers[]
    | select(.image | test("k8up") or ($deployment.metadata.name | test("k8up")))
    | [ ([.image | version] + [$deployment.metadata.labels["app.kubernetes.io/version"] // empty | ltrimstr("v")] | .[0] // "unknown"),
        (if ((.args // []) + (.command // []) | any(test("^--insecure-allow-podexec-spdy-fallback(=true)?$")))
            or ((.env // []) | any(.name == "INSECURE_ALLOW_PODEXEC_SPDY_FALLBACK" and (.value // "" | test("^(1|t|T|TRUE|true|True)$"))))
         then "fallback" else "strict" end) ]
    | join(" ")' "$WORK/deployments" >"$WORK/k8up"
}

# unread WHY: K8up's version is not known. What the state says is believed then.
unread() {
  if [ -n "${K8UP_DECLARED:-}" ]; then
    HOLDFAST_NEED=optional finding FAIL k8up "$1: the $K8UP_DECLARED of the state is believed, and nobody knows whether it falls back to SPDY" \
      'name the Deployment in cluster.k8upDeployment'
  else
    finding FAIL k8up "$1" 'say in the state how the Deployment is called (cluster.k8upDeployment), or which version runs (cluster.k8upVersion)'
  fi
}

version_of_k8up() {
  if ! (operator) 2>"$WORK/check"; then
    unread "the Deployment $K8UP_DEPLOYMENT cannot be read"
    return
  fi
  read -r k8up exec_by <"$WORK/k8up" || {
    unread "there is no Deployment $K8UP_DEPLOYMENT in ${K8UP_NAMESPACE:-any namespace}"
    return
  }
  if [ "$k8up" = unknown ]; then
    unread "neither the image's tag nor a label of the Deployment $K8UP_DEPLOYMENT tells K8up's version"
  else
    compared k8up "$k8up" "$K8UP_OLDEST" "${K8UP_DECLARED:-}" 'it cuts dumps of hundreds of megabytes, and calls them complete'
  fi
  [ "$exec_by" = strict ] ||
    finding FAIL k8up 'it runs with --insecure-allow-podexec-spdy-fallback, which cuts large dumps' 'take the argument, or the variable, from its Deployment'
}

# reach HOST PORT TO: a connection and nothing more. curl holds one until its time is up,
# so that is short at first. TO is "public" if our policy knows no address of the host,
# and so leads to public ones alone.
reach() {
  for reach_time in 2 5 12; do
    reach_status=0
    timeout 20 curl --silent --show-error --noproxy '*' --connect-timeout "$reach_time" --max-time "$reach_time" --output /dev/null \
      --write-out '%{time_connect}' --url "telnet://$1:$2" >"$WORK/reached" 2>"$WORK/stderr" </dev/null || reach_status=$?
    case $(cat "$WORK/reached") in
      *[1-9]*) return 0 ;;
    esac
    # Refused: whoever asked tries again.
    [ "$reach_status" -ne 7 ] || break
  done
  # 6: it has no address at all.
  case $3:$reach_status in
    public:6) ;;
    public:*) say 'if its address is private: the state declares none, and private ranges are closed then; add it to network.endpoints' ;;
  esac
  failed 69 "connecting to $1:$2" "$reach_status"
}

bucket_there() {
  storage HEAD "$SERVER/$BUCKET"
  case $CODE in
    2??) ;;
    404) die 65 "there is no bucket $BUCKET" ;;
    403) die 70 "the key may not ask for the bucket $BUCKET (HTTP 403): wrong key, or no right to list it" ;;
    *) die 69 "asking for the bucket $BUCKET (HTTP $CODE)" ;;
  esac
}
# allowed_by WHAT
allowed_by() {
  case $CODE in
    2??) ;;
    403) die 70 "the key may not $1 (HTTP 403, AccessDenied)" ;;
    *) die 69 "could not $1 (HTTP $CODE)" ;;
  esac
}
write_probe() {
  storage PUT "$PROBE" --upload-file "$WORK/probe"
  allowed_by "write into the bucket $BUCKET"
}
read_probe() {
  storage GET "$PROBE"
  allowed_by "read from the bucket $BUCKET"
  [ "$(cat "$WORK/probe")" = "$(cat "$WORK/body")" ] || die 65 'what was read is not what was written'
}
delete_probe() {
  storage DELETE "$PROBE"
  allowed_by "delete in the bucket $BUCKET"
}

if check 'API server' 'are network.apiServer.cidrs and port those of the endpoint, not of the Service?' version_of_kubernetes; then
  read -r kubernetes <"$WORK/kubernetes"
  compared kubernetes "$kubernetes" "$KUBERNETES_OLDEST" "${KUBERNETES_DECLARED:-}" "K8up's exec needs its websockets"
  version_of_k8up
fi

while IFS=$tab read -r host port need whose to <&3; do
  (
    HOLDFAST_NEED=$need HOLDFAST_UNIT=$whose
    check "$host:$port" 'is the host right, and does it listen there?' reach "$host" "$port" "$to"
  ) || :
done 3<"$HOLDFAST_ROOT/preflight/endpoints"

if [ -n "${RESTIC_REPOSITORY:-}" ]; then
  HOLDFAST_UNIT="repository/$HOLDFAST_NAMESPACE"
  if storage_place; then
    PROBE=$SERVER/$BUCKET/${KEY:+$KEY/}.holdfast-preflight
    printf 'holdfast preflight of %s\n' "$HOLDFAST_INSTANCE" >"$WORK/probe"
    if check bucket 'correct restic.bucket, or the key, in the credentials' bucket_there &&
      check write 'give the key s3:PutObject in the bucket' write_probe; then
      check read 'give the key s3:GetObject in the bucket' read_probe || :
      check delete 'give the key s3:DeleteObject in the bucket: prunes need it, and locks' delete_probe || :
    fi
  fi
fi
