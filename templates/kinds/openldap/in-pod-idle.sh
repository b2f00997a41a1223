#!/bin/sh
# in-pod-idle.sh: runs in slapd's pod. It ends with 75 while slapd runs, and with 76 while
# the start script does, which may load content of its own. A process without a parent
# comes by exec.
set -eu
for status in /proc/[0-9]*/status; do
  name='' state='' parent=''
  while read -r key value _; do
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
