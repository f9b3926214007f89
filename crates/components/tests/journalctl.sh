#!/bin/sh
# Stands in for journalctl. A journal is a directory with one file for each entry, c1, c2 and so on. Writes the last
# entries (--lines), or what comes behind the cursor, notes how it was called, and ends with --follow as the file `end`
# says.
after=0
lines=
follow=
for word; do
    case $word in
    --directory=*) cd "${word#*=}" || exit 1 ;;
    --after-cursor=c*) after=${word#*=c} ;;
    --lines=*) lines=${word#*=} ;;
    --follow) follow=yes ;;
    esac
done
echo "$@" >> arguments
if [ -n "$lines" ]; then
    count=0
    while test -f "c$((count + 1))"; do count=$((count + 1)); done
    after=$((count - lines))
    [ "$after" -lt 0 ] && after=0
fi
while after=$((after + 1)) && test -f "c$after"; do
    cat "c$after"
done
[ -n "$follow" ] || exit 0
. ./end
