#!/bin/sh
# storage.sh is sourced, after common.sh, by what asks the restic repository's S3
# storage itself. The keys reach curl by a file, never as an argument.

# storage_place: sets SERVER, BUCKET and KEY from RESTIC_REPOSITORY; fails where
# that is no S3 over HTTP.
storage_place() {
  case $RESTIC_REPOSITORY in
    s3:http*://*/*) ;;
    *) return 1 ;;
  esac
  place=${RESTIC_REPOSITORY#s3:}
  SERVER=${place%%://*}://
  place=${place#*://}
  SERVER=$SERVER${place%%/*}
  place=${place#*/}
  BUCKET=${place%%/*}
  KEY=${place#"$BUCKET"}
  KEY=${KEY#/}
}

# storage METHOD URL [ARG…]: one request, made again where the storage is busy for a
# moment. The answer is in $WORK/body, the HTTP code in CODE.
# shellcheck disable=SC2034 # for the caller
storage() {
  storage_method=$1
  storage_url=$2
  shift 2
  # A line break would end the line, and begin an option of curl's.
  one_line AWS_ACCESS_KEY_ID "${AWS_ACCESS_KEY_ID:-}"
  one_line AWS_SECRET_ACCESS_KEY "${AWS_SECRET_ACCESS_KEY:-}"
  [ "$storage_method" != HEAD ] || set -- --head "$@"
  [ "$storage_method" != DELETE ] || set -- --request DELETE "$@"
  {
    printf 'user = "'
    printf '%s:%s' "${AWS_ACCESS_KEY_ID:-}" "${AWS_SECRET_ACCESS_KEY:-}" | sed 's/["\\]/\\&/g'
    printf '"\n'
  } >"$WORK/curl"
  storage_ca=${RESTIC_CACERT:-}
  [ -n "$storage_ca" ] || storage_ca=$(ca_bundle)
  attempt 69 "asking for the bucket $BUCKET" \
    curl --config "$WORK/curl" --header 'x-amz-content-sha256: UNSIGNED-PAYLOAD' --silent --show-error --connect-timeout 15 --max-time 60 --retry 2 \
    --cacert "$storage_ca" --aws-sigv4 "aws:amz:${AWS_DEFAULT_REGION:-us-east-1}:s3" \
    --output "$WORK/body" --write-out '%{http_code}' "$@" --url "$storage_url" >"$WORK/code" </dev/null
  rm -f -- "$WORK/curl"
  CODE=$(cat "$WORK/code")
}
