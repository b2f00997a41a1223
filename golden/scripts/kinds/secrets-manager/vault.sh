#!/bin/sh
# vault.sh is sourced, after common.sh, by the scripts that speak to a
# Vault-compatible key-value store. User, password and token are never arguments:
# they reach jq by the environment, and curl by files in scratch.

require_tools curl jq
need SM_ADDRESS SM_MOUNT SM_USERNAME SM_PASSWORD
one_line SM_ADDRESS "$SM_ADDRESS"
case $SM_ADDRESS in
  https://?* | http://?*) ;;
  *) die 64 'SM_ADDRESS is no http or https address' ;;
esac

# The image's own authorities, where none were given.
if [ -z "${SM_CA_PEM:-}" ]; then
  CA=$(ca_bundle)
else
  CA=$WORK/ca.crt
  printf '%s\n' "$SM_CA_PEM" >"$CA" || die 73 'scratch is full'
fi

# exchange ARG…: one HTTP exchange. The answer is in $WORK/body, the code in
# STATUS. No redirects: they would carry the token elsewhere.
exchange() {
  attempt 69 "asking $SM_ADDRESS" \
    curl --silent --show-error --globoff --path-as-is --proto '=https,http' \
    --connect-timeout 15 --max-time 60 --retry 3 --retry-delay 2 \
    --cacert "$CA" --output "$WORK/body" --write-out '%{http_code}' "$@" >"$WORK/code" </dev/null
  STATUS=$(cat "$WORK/code")
}

# login: get a token. It lives a quarter of an hour or what the server says, so
# call gets another when half of that is over.
login() {
  LOGIN_TIME=$(date +%s)
  jq -n '{password: env.SM_PASSWORD}' >"$WORK/login" || die 73 'scratch is full'
  # The user is part of the URL. What JSON escapes in a line, curl's files escape alike.
  jq -nr '"url = \("\(env.SM_ADDRESS | rtrimstr("/"))/v1/auth/userpass/login/\(env.SM_USERNAME | @uri)" | tojson)"' >"$WORK/login.url" ||
    die 73 'scratch is full'
  exchange --request POST --header 'Content-Type: application/json' --data-binary "@$WORK/login" --config "$WORK/login.url"
  rm -f -- "$WORK/login" "$WORK/login.url"
  [ "$STATUS" = 200 ] || refused 'logging in'
  # With a line break in it, it would bring headers of its own.
  attempt_silently 69 'reading the token' jq -er '.auth.client_token | strings | select(test("[\r\n]") | not) | "X-Vault-Token: " + .' "$WORK/body" >"$WORK/token"
  attempt_silently 69 'reading the life of the token' jq -r '.auth.lease_duration // 0 | floor | if . > 0 then . else 900 end' "$WORK/body" >"$WORK/life"
  read -r TOKEN_LIFE <"$WORK/life"
  rm -f -- "$WORK/body"
}

# call METHOD data|metadata|delete|config PATH QUERY [FILE]: one request below the
# mount. PATH is a JSON string; its segments are encoded, its slashes stay. The
# settings of the mount have none.
call_last='' call_path=''
call_mount=$(jq -nr 'env.SM_MOUNT | gsub("^/+|/+$"; "") | split("/") | map(@uri) | join("/")') || die 64 'SM_MOUNT is no text'
call() {
  if [ $(($(date +%s) - LOGIN_TIME)) -ge $((TOKEN_LIFE / 2)) ]; then
    login
  fi
  # One path is asked for several times, and jq takes longer than the answer.
  if [ "$3" != "$call_last" ]; then
    call_path=$(printf '%s\n' "$3" | jq -r 'split("/") | map(@uri) | join("/")') || die 65 'a path is no text'
    call_last=$3
  fi
  call_url=${SM_ADDRESS%/}/v1/$call_mount/$2/$call_path$4
  [ "$2" != config ] || call_url=${SM_ADDRESS%/}/v1/$call_mount/config
  call_method=$1
  set -- "${5:-}"
  if [ -n "$1" ]; then
    set -- --header 'Content-Type: application/json' --data-binary "@$1"
  else
    set --
  fi
  exchange --request "$call_method" --header "@$WORK/token" "$@" --url "$call_url"
}

# refused WHAT: die for an answer with an HTTP error.
refused() {
  refused_code=69
  case $STATUS in
    400 | 401 | 403) refused_code=70 ;;
  esac
  jq -r '.errors[]?' "$WORK/body" >"$WORK/stderr" 2>/dev/null || :
  failed "$refused_code" "$1 (HTTP $STATUS)" 22
}
