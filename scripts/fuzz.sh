#!/bin/sh
# Feeds decoders anything at all: each fuzz target, or those named, for so many seconds. What was learned stays below
# the target directory, and the next run begins with it.
# usage: fuzz.sh TARGET_DIRECTORY SECONDS [NAME...]
set -eu
target=$1
seconds=$2
shift 2

. "$(dirname "$0")/need.sh"
need c++ g++
install_needed

tools=$target/tools
export PATH="$tools/bin:$PATH"
command -v cargo-fuzz >/dev/null 2>&1 || cargo install --locked --quiet --root "$tools" cargo-fuzz@0.13.2

# The compiler's instrumentation is not stable; no sanitizer, as there is no unsafe code but at one border.
export RUSTC_BOOTSTRAP=1
[ $# -gt 0 ] || set -- $(cargo fuzz list)
for name; do
    corpus=$target/fuzz-corpus/$name
    mkdir -p "$corpus"
    echo "--- $name"
    cargo fuzz run --sanitizer none --target-dir "$target/fuzz" "$name" "$corpus" -- \
        -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 -verbosity=0
done
