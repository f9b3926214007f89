#!/bin/sh
# Writes the pages of docs/diagnostics from the table of codes, and their lines in docs/SUMMARY.md.
set -eu
cd "$(dirname "$0")/.."
cargo build -q -p flume-ng
program=${CARGO_TARGET_DIR:-target}/debug/flume-ng
mkdir -p docs/diagnostics
rm -f docs/diagnostics/*.md
$program describe diagnostics > docs/diagnostics/README.md
for code in $(grep -o '^| \[FLM[0-9]*' docs/diagnostics/README.md | tr -d '| ['); do
    $program describe "$code" > "docs/diagnostics/$code.md"
done

grep -v 'diagnostics/FLM' docs/SUMMARY.md > docs/SUMMARY.md.new
sed -n 's,^| \[\(FLM[0-9]*\)\].*,    - [\1](diagnostics/\1.md),p' docs/diagnostics/README.md |
    sed -i '/(diagnostics\/README.md)/r /dev/stdin' docs/SUMMARY.md.new
mv docs/SUMMARY.md.new docs/SUMMARY.md
