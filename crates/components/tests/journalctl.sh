#!/bin/sh
# Stands in for journalctl. A journal is a directory with one file for each entry, c1, c2 and so on. Writes what comes
# behind the cursor, notes how it was called, and ends as the file `end` says.
after=0
for word; do
    case $word in
    --directory=*) cd "${word#*=}" || exit 1 ;;
    --after-cursor=c*) after=${word#*=c} ;;
    esac
done
echo "$@" >> arguments
while after=$((after + 1)) && test -f "c$after"; do
    cat "c$after"
done
. ./end
