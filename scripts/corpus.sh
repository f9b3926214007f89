#!/bin/sh
# Runs `validate` over every file below a directory: a verdict for each, and what the errors are, by frequency.
# usage: corpus.sh PROGRAM DIRECTORY
set -eu
program=$1
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
: >"$out/verdicts"
: >"$out/reasons"
find "$2" -type f ! -name '*.tsv' | sort >"$out/files"
while read -r file; do
    code=0
    timeout 10 "$program" validate --format json -f "$file" >"$out/json" 2>"$out/err" || code=$?
    case $code in
        0) echo accepted ;;
        2) if [ -s "$out/json" ]; then echo refused; else echo "no agent"; fi ;;
        124) echo HANG "$file" ;;
        *) echo "CRASH $code $file" ;;
    esac >>"$out/verdicts"
    grep -o '"severity":"error","[^}]*' "$out/json" 2>/dev/null |
        sed -E 's/.*"key":"([^"]*)","text":"([^"]*)".*/\1: \2/; s/^[^.]*\.(sources|sinks|channels|sinkgroups)\.[^.:]*\.?/\1 /; s/interceptors\.[^.:]*/interceptors.*/' \
            >>"$out/reasons" || true
done <"$out/files"
sort "$out/verdicts" | uniq -c | sort -rn
echo '--- errors'
sort "$out/reasons" | uniq -c | sort -rn | head -"${3:-25}"
