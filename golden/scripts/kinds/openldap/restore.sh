#!/bin/sh
# Loads an LDIF into the primary's database, with slapadd, inside its pod. That
# keeps every entryUUID; ldapadd would make new ones. slapd must not run
# meanwhile: if it does, this changes nothing and says how to stop it. What slapadd
# does not take is named, and the rest is loaded; then all is read back and compared.
#
#   HOLDFAST_INPUT      the dump
#   HOLDFAST_LEAVE_OUT  names of entries that are not to be tried
#   HOLDFAST_NAMESPACE LDAP_POD LDAP_CONTAINER LDAP_BASE_DN
#   LDAP_PRIMARIES      how many primaries there are; 1 by default
#   LDAP_DATABASE_DIR   the folder of data.mdb in the pod
#   LDAP_CONFIG         slapd's configuration in the pod, file or folder; "" = its default
#   HOLDFAST_OVERWRITE  "yes": move a database that is there aside, then load
# shellcheck disable=SC2016 # expanded in the pod, or by awk
set -eu
HOLDFAST_ROOT=${HOLDFAST_ROOT:-/holdfast}
. "$HOLDFAST_ROOT/bin/common.sh"
. "$HOLDFAST_ROOT/bin/missing.sh"
begin
. "$HOLDFAST_ROOT/bin/ldif.sh"

require_tools kubectl sleep
need HOLDFAST_NAMESPACE LDAP_POD LDAP_CONTAINER LDAP_BASE_DN
LDAP_PRIMARIES=${LDAP_PRIMARIES:-1}
number LDAP_PRIMARIES "$LDAP_PRIMARIES"
INPUT=${HOLDFAST_INPUT:-$HOLDFAST_SCRATCH/input}
LDAP_DATABASE_DIR=${LDAP_DATABASE_DIR:-/var/lib/univention-ldap/ldap}
export LDAP_CONTAINER LDAP_DATABASE_DIR
[ -f "$INPUT" ] || die 64 "$INPUT is absent"

count=$(count_lines '^dn::? ' "$INPUT")
tail -n 1 <"$INPUT" | grep -qxF -e "# holdfast: complete, $count entries" || die 65 'the dump is cut: its last line is missing'

# names: each entry's name, in the copy's order. skip: entries not to be tried, with
# the reason after a tab.
attempt 65 'reading the dump' awk "$LDIF"'/^dn::? / { dn = plain($0); gsub(/[[:cntrl:]]/, "?", dn); print dn }' "$INPUT" >"$WORK/names"
: >"$WORK/skip"
if [ -n "${HOLDFAST_LEAVE_OUT:-}" ]; then
  while IFS= read -r dn; do
    ! left_out "$dn" || printf '%s\tleft out\n' "$dn" >>"$WORK/skip"
  done <"$WORK/names"
fi

# choose: the entries to load, in $WORK/ldif, and why each of the others is not, in
# $WORK/without. An entry is nothing without those above it. Of one that came twice,
# as one that was made anew while the tree was read, the later is taken. What
# ldapsearch of older dumps reports but slapd makes up itself cannot be loaded.
choose() {
  : >"$WORK/without"
  attempt 65 'reading the dump' awk "$LDIF"'
    BEGIN { base = tolower(ENVIRON["LDAP_BASE_DN"]); made_up = ENVIRON["MADE_UP"]; without = ENVIRON["WITHOUT"] }
    function fate(dn, d) {
      for (d = dn; ; d = above(d)) {
        if (d in skip) return d == dn ? skip[d] : "an entry above it is not restored: " shown[d]
        if (!(d in last)) return "the entry above it is not in the copy"
        if (outside(d, base)) return ""
      }
    }
    part == "skip" { at = index($0, "\t"); dn = tolower(substr($0, 1, at - 1)); skip[dn] = substr($0, at + 1); next }
    part == "names" { last[tolower($0)] = ++named; shown[tolower($0)] = $0; next }
    /^dn::? / && !inside {
      inside = 1
      take = 0
      dn = tolower(plain($0))
      gsub(/[[:cntrl:]]/, "?", dn)
      if (++seen < last[dn]) next
      why = fate(dn)
      if (why == "") { take = 1; print }
      else print shown[dn] "\t" why >without
      next
    }
    /^$/ { if (take) print; inside = take = 0; next }
    !take { next }
    {
      at = tolower(substr($0, 1, index($0, ":") - 1))
      if (!(at in own)) own[at] = at ~ made_up
      if (!own[at]) print
    }' part=skip "$WORK/skip" part=names "$WORK/names" part=tree "$INPUT" >"$WORK/ldif"
  size=$(file_size "$WORK/ldif")
}
WITHOUT=$WORK/without
export WITHOUT
choose

# The pod says how slapd is started there, and which claim holds the database.
# (No jq: an image with LDAP's clients has none.)
attempt 70 'reading the pod' kubectl get pod "$LDAP_POD" --namespace="$HOLDFAST_NAMESPACE" --output='jsonpath={range .spec.containers[*]}{"container\t"}{.name}{"\t"}{.command}{"\t"}{.args}{"\n"}{range .volumeMounts[*]}{"mount\t"}{.mountPath}{"\t"}{.name}{"\n"}{end}{end}{range .spec.volumes[*]}{"claim\t"}{.name}{"\t"}{.persistentVolumeClaim.claimName}{"\n"}{end}' >"$WORK/pod"
attempt 70 'reading the pod' awk -F '\t' '
  $1 == "container" { mine = $2 == ENVIRON["LDAP_CONTAINER"] }
  $1 == "container" && mine { command = $3; args = $4 }
  $1 == "mount" && mine && index(ENVIRON["LDAP_DATABASE_DIR"] "/", $2 "/") == 1 && length($2) > length(place) { place = $2; volume = $3 }
  $1 == "claim" { claim[$2] = $3 }
  END {
    idle = "[\"sleep\",\"infinity\"]"
    # The start script of an image must run, for some write the configuration:
    # only what it starts is held back. Where the pod has a command of its own,
    # or the script starts slapd whatever it is told, there is no such way.
    print (command == "" && args != idle || command == idle) ? "args" : "command"
    print claim[volume]
  }' "$WORK/pod" >"$WORK/ways"
hold=$(sed -n 1p "$WORK/ways")
claim=$(sed -n 2p "$WORK/ways")

set_of=${LDAP_POD%-*}
# how_to_hold: the commands that start the pod without slapd. From 0, for a pod
# that is not ready is not replaced.
how_to_hold() {
  case $hold in
    args) held='"command":null,"args":["sleep","infinity"]' ;;
    *) held='"command":["sleep","infinity"],"args":null' ;;
  esac
  say "  kubectl -n $HOLDFAST_NAMESPACE scale statefulset $set_of --replicas=0"
  say "  kubectl -n $HOLDFAST_NAMESPACE patch statefulset $set_of -p '{\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"name\":\"$LDAP_CONTAINER\",$held,\"livenessProbe\":null,\"readinessProbe\":null,\"startupProbe\":null}]}}}}'"
  say "  kubectl -n $HOLDFAST_NAMESPACE scale statefulset $set_of --replicas=1"
}

# check: ends with 75 while slapd runs, and with 76 while the start script does,
# which may load content of its own. A process without a parent comes by exec.
check='
set -eu
for status in /proc/[0-9]*/status; do
  name= state= parent=
  while read -r key value more; do
    case $key in
      Name:) name=$value ;;
      State:) state=$value ;;
      PPid:) parent=$value; break ;;
    esac
  done 2>/dev/null <"$status" || :
  [ "$state" != Z ] || continue
  case $name in
    slapd) exit 75 ;;
    # Of a restore whose connection broke.
    slapadd) busy=$name ;;
    sleep) ;;
    *) [ "$parent" != 1 ] || busy=$name ;;
  esac
done
[ -z "${busy:-}" ] || { echo "$busy"; exit 76; }
'
# in_pod PROGRAM ARG…: within the deadline; sets STATUS.
in_pod() {
  STATUS=0
  bounded kubectl exec --stdin --namespace="$HOLDFAST_NAMESPACE" --container="$LDAP_CONTAINER" "$LDAP_POD" -- \
    sh -c "$@" 2>"$WORK/stderr" || STATUS=$?
}
since=$(date +%s)
said=
while :; do
  in_pod "$check" </dev/null >"$WORK/busy"
  [ "$STATUS" -eq 76 ] || break
  if [ "$HOLDFAST_DEADLINE" -gt 0 ] && [ $(($(date +%s) - since)) -ge "$HOLDFAST_DEADLINE" ]; then
    die 69 "the start script of $LDAP_POD did not end within $HOLDFAST_DEADLINE s"
  fi
  [ -n "$said" ] || say "the start script of $LDAP_POD still runs ($(cat -- "$WORK/busy")); waiting for it"
  said=yes
  sleep 2
done

# $1 database folder, $2 base DN, $3 configuration, $4 size, $5 overwrite.
program=$check'
umask 077
database=$1 base=$2 config=$3 size=$4 overwrite=$5
PATH=$PATH:/usr/sbin:/usr/local/sbin:/opt/bitnami/openldap/sbin
set -- -b "$base"
if [ -d "$config" ]; then set -- "$@" -F "$config"
elif [ -n "$config" ]; then set -- "$@" -f "$config"
fi
slapadd -u -q "$@" -l /dev/null >&2 || exit 78
[ -d "$database" ] || { echo "there is no folder $database" >&2; exit 64; }
cd "$database"
# back NAME: the former database, if there was one, in the place of half a load.
back() {
  if [ -z "$1" ]; then
    rm -f data.mdb lock.mdb
  elif [ -e "$1/data.mdb" ]; then
    rm -f data.mdb lock.mdb
    mv "$1"/*.mdb .
    rmdir "$1"
    echo "the former database is back in its place" >&2
  fi
  rm -f holdfast-loading
}
# It says that a load was under way, and what was moved aside for it.
if [ -e holdfast-loading ]; then
  echo "a former restore was broken off here" >&2
  back "$(cat holdfast-loading)"
fi
if [ -e data.mdb ] && [ "$overwrite" != yes ]; then
  echo "$database holds a database" >&2
  exit 65
fi
ldif=$database/holdfast-restore.ldif
said=$database/holdfast-restore.said
trap "rm -f \"\$ldif\" \"\$said\"" EXIT
cat >"$ldif"
[ "$(wc -c <"$ldif")" -eq "$size" ] || { echo "the LDIF did not arrive whole" >&2; exit 1; }
# A dry run that goes on after an entry that it does not take: a real one would
# lose what it loaded in the same transaction.
status=0
slapadd -u -q -c "$@" -l "$ldif" >&2 2>"$said" || status=$?
cat "$said" >&2
if grep -E "^slapadd: (.*[(]line=|line )[0-9]+" "$said"; then exit 77; fi
[ "$status" -eq 0 ] || exit "$status"
aside=
if [ -e data.mdb ]; then
  aside=before-holdfast-$(date -u +%Y%m%dT%H%M%SZ)
  while [ -e "$aside" ]; do aside=$aside-; done
fi
echo "$aside" >holdfast-loading
if [ -n "$aside" ]; then
  mkdir "$aside"
  mv data.mdb "$aside/"
  [ ! -e lock.mdb ] || mv lock.mdb "$aside/"
fi
slapadd -q "$@" -l "$ldif" >&2 || {
  status=$?
  back "$aside"
  exit "$status"
}
rm -f holdfast-loading
[ -z "$aside" ] || echo "the former database is in $database/$aside" >&2
slapcat "$@" -o ldif-wrap=no
echo "# holdfast: end"
'
# Once more without what slapadd refused. It says the lines of all at once.
while [ "$STATUS" -eq 0 ]; do
  [ "$size" -gt 0 ] || break
  in_pod "$program" holdfast "$LDAP_DATABASE_DIR" "$LDAP_BASE_DN" "${LDAP_CONFIG:-}" "$size" "${HOLDFAST_OVERWRITE:-no}" <"$WORK/ldif" >"$WORK/loaded"
  [ "$STATUS" -eq 77 ] || break
  attempt 65 'reading what slapadd said' awk "$LDIF"'
    part == "said" {
      at = $0
      if (sub(/^slapadd: .*[(]line=/, "", at) || sub(/^slapadd: line /, "", at)) {
        line = at + 0
        sub(/^[0-9]+[):]* */, "", at)
        why[line] = "slapadd: " (at == "" ? "it cannot be read" : at)
      }
      next
    }
    # A number that is not that of its first line is one within.
    /^dn::? / { dn = plain($0); gsub(/[[:cntrl:]]/, "?", dn) }
    FNR in why { gsub(/[[:cntrl:]]/, "?", why[FNR]); print dn "\t" why[FNR] }' part=said "$WORK/loaded" part=tree "$WORK/ldif" >"$WORK/refused.now"
  [ -s "$WORK/refused.now" ] || failed 69 "the restore in $LDAP_POD" "$STATUS"
  cat -- "$WORK/refused.now" >>"$WORK/skip" || die 73 'scratch is full'
  choose
  STATUS=0
done
case $STATUS in
  0)
    if [ -s "$WORK/stderr" ]; then
      say "what was said in $LDAP_POD:"
      masked "$WORK/stderr" >&2
    fi
    aside=$(sed -n 's/^the former database is in //p' "$WORK/stderr")
    [ -z "$aside" ] || say "the former database is in $aside of $LDAP_POD"
    ;;
  64) failed 64 "the restore in $LDAP_POD (set LDAP_DATABASE_DIR)" "$STATUS" ;;
  65)
    say 'an image may load first content into an empty folder as it starts: that is a database, too'
    failed 65 "the restore in $LDAP_POD (set HOLDFAST_OVERWRITE=yes to move it aside)" "$STATUS"
    ;;
  75)
    say "slapd runs in $LDAP_POD; nothing was changed. Start the pod with slapd held back, then run this again:"
    how_to_hold
    die 69 'slapd must be stopped'
    ;;
  78)
    say "slapadd cannot use slapd's configuration in $LDAP_POD; nothing was changed. If its start script writes it, let that run"
    say 'and hold back what it starts, then run this again; if it stands elsewhere, set LDAP_CONFIG:'
    hold=args
    how_to_hold
    failed 69 "reading slapd's configuration in $LDAP_POD" "$STATUS"
    ;;
  *) failed 69 "the restore in $LDAP_POD" "$STATUS" ;;
esac

# What was not tried.
while IFS="$TAB" read -r dn why; do
  case $why in
    'left out') continue ;;
  esac
  accepted=
  for name in orphan schema hidden; do
    ! lost "$name" "$dn" || accepted=$name
  done
  if [ -n "$accepted" ]; then
    say "not restored, as was accepted ($accepted): $dn"
  else
    missing "$dn" "$why"
  fi
done <"$WORK/without"
loaded=0
if [ "$size" -gt 0 ]; then
  tail -n 1 <"$WORK/loaded" | grep -qxF -e '# holdfast: end' || die 65 'the database cannot be read back: the answer is cut'
  # Each entry of the one file with its like of the other. They come in one order but
  # for those that came before the entry above them.
  MISSING=$WORK/differs
  export MISSING
  : >"$MISSING"
  attempt 65 'comparing the database with the dump' awk "$LDIF"'
    # entry(FILE, K): the next one, as line[K, 1] (its name) to line[K, lines[K]].
    function entry(file, k, text) {
      lines[k] = 0
      while ((getline text <file) > 0) {
        if (text == "") { if (lines[k]) return 1 }
        else if (lines[k] || text ~ /^dn::? /) line[k, ++lines[k]] = text
      }
      return lines[k]
    }
    # keep(K, AS): the entry under another key.
    function keep(k, as, i) {
      for (i = 1; i <= lines[k]; i++) line[as, i] = line[k, i]
      lines[as] = lines[k]
    }
    function drop(k, i) {
      for (i = 1; i <= lines[k]; i++) delete line[k, i]
      delete lines[k]
    }
    function value(text) { return substr(text, index(text, ":")) }
    # compare(K, L): whether each line of the one is in the other, in any order.
    function compare(k, l, i, have, lacks, at) {
      for (i = 2; i <= lines[k] && line[k, i] == line[l, i]; i++) continue
      if (i > lines[k]) return
      for (i = 2; i <= lines[l]; i++) have[value(line[l, i])] = 1
      for (i = 2; i <= lines[k]; i++) if (!(value(line[k, i]) in have)) {
        at = substr(line[k, i], 1, index(line[k, i], ":") - 1)
        if (!((" " at " ") in have)) lacks = lacks " " at
        have[" " at " "] = 1
      }
      if (lacks != "") report(k, "it came back without values of" lacks)
    }
    function report(k, why, at) {
      at = plain(line[k, 1])
      gsub(/[[:cntrl:]]/, "?", at)
      print at "\t" why >missing
    }
    function uuid(k, i) {
      for (i = 2; i <= lines[k]; i++) if (line[k, i] ~ /^entryUUID: /) return line[k, i]
      return ""
    }
    # meet(K, MINE, OTHERS): the entry finds its like among those that wait, or waits.
    function meet(k, mine, others, dn) {
      dn = line[k, 1]
      if ((others, dn) in waits) {
        if (mine == "want") compare(k, others SUBSEP dn)
        else compare(others SUBSEP dn, k)
        drop(others SUBSEP dn)
        delete waits[others, dn]
      } else {
        waits[mine, dn] = mine
        keep(k, mine SUBSEP dn)
      }
    }
    BEGIN {
      missing = ENVIRON["MISSING"]
      for (;;) {
        a = entry(ARGV[1], 1)
        b = entry(ARGV[2], 2)
        if (!a && !b) break
        if (b) loaded++
        if (a && b && line[1, 1] == line[2, 1]) { compare(1, 2); continue }
        if (a) meet(1, "want", "got")
        if (b) meet(2, "got", "want")
      }
      # slapadd may write a name otherwise than the copy.
      for (i in waits) if (waits[i] == "got" && (at = uuid(i)) != "") same[at] = i
      for (i in waits) if (waits[i] == "want") {
        at = uuid(i)
        if (at != "" && at in same) compare(i, same[at])
        else report(i, "it is not in the database, although slapadd took it")
      }
      print loaded + 0
      exit
    }' "$WORK/ldif" "$WORK/loaded" >"$WORK/count"
  read -r loaded <"$WORK/count"
  while IFS="$TAB" read -r dn why; do
    missing "$dn" "$why"
  done <"$MISSING"
else
  say 'there is nothing to load; nothing was changed'
  settle_missing
  exit 0
fi
say "restored: $loaded entries of $count. What is left to do:"
say "  kubectl -n $HOLDFAST_NAMESPACE scale statefulset $set_of --replicas=0"
if [ "$LDAP_PRIMARIES" -gt 1 ]; then
  say '  every other primary still has a later tree, and would bring it back here: delete its volume before it starts'
  n=1
  while [ "$n" -lt "$LDAP_PRIMARIES" ]; do
    case $claim in
      *"-$LDAP_POD") say "  kubectl -n $HOLDFAST_NAMESPACE delete pvc ${claim%"-$LDAP_POD"}-$set_of-$n" ;;
      *) say "  (the volume of $set_of-$n that holds $LDAP_DATABASE_DIR)" ;;
    esac
    n=$((n + 1))
  done
fi
say '  deploy the StatefulSet as it was, then the secondaries with empty volumes'
settle_missing
