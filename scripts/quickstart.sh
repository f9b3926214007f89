#!/bin/sh
# Runs examples/quickstart.conf with the given program: lines in by netcat, files out, counters, stop.
set -eu
flume=$1
files=target/quickstart
state=$(mktemp -d)
rm -rf "$files" && mkdir -p "$files"

"$flume" agent --conf conf --conf-file examples/quickstart.conf --name a1 --state-dir "$state" \
    -Dflume.root.logger=INFO,console &
agent=$!
trap 'kill $agent 2>/dev/null || true; rm -rf "$state"' EXIT

tries=0
until nc -z localhost 44444 2>/dev/null; do
    tries=$((tries + 1))
    [ $tries -lt 100 ] && kill -0 $agent || { echo "the agent did not start" >&2; exit 1; }
    sleep 0.1
done

echo "--- three lines, each acknowledged"
printf 'hello\nfrom a netcat client\ninto a file\n' | nc -q 1 localhost 44444
echo "--- status"
"$flume" status --state-dir "$state"
echo "--- stop"
kill -TERM $agent
wait $agent
echo "--- files"
for file in "$files"/*; do echo "$file:"; cat "$file"; done
grep -q 'from a netcat client' "$files"/*
