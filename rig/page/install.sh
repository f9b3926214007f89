#!/bin/sh
# Installs what drives the page: Chromium, Node, and axe-core into the given directory.
set -eu
. "$(dirname "$0")/../../scripts/need.sh"
need chromium chromium
need node nodejs
need npm npm
install_needed
mkdir -p "$1"
cd "$1"
[ -f package/axe.min.js ] || {
    npm pack --silent axe-core@4.14.1 >/dev/null
    tar xzf axe-core-4.14.1.tgz package/axe.min.js
}
