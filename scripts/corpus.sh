#!/bin/sh
# Compares what Java Flume keeps of configuration files with `flume-ng validate --effective`.
# usage: scripts/corpus.sh DIRECTORY (files below it that are no configurations are compared, too)
set -eu
directory=$(cd "${1:?usage: corpus.sh DIRECTORY}" && pwd)
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
program=$target/debug/flume-ng
java=$target/java-flume
sh rig/java-flume/install.sh "$java"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/stubs"
find "$directory" -type f ! -name '*.tsv' | sort > "$work/files"
tr '\n' '\0' < "$work/files" |
    xargs -0 java -cp "$work/stubs:$java/lib/*" rig/java-verdicts/Verdicts.java "$work/stubs" 2> "$work/log" |
    grep -v '^#' | sed -E 's/ (keeps|drops)( .*)?$/ \1/' > "$work/java"
while read -r file; do
    echo "== $file"
    # Agents without a list are none in Java.
    "$program" validate --effective -f "$file" 2>&1 | sed -E 's/ (keeps|drops)(: .*)?$/ \1/' || true
done < "$work/files" > "$work/ours"
diff -U 3 "$work/java" "$work/ours" && echo "equal in $(wc -l < "$work/files") files"
