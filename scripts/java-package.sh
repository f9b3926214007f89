#!/bin/sh
# Makes the package flume-java, which lets agents run Java components, as .deb and .rpm.
# usage: java-package.sh REVISION OUTPUT_DIRECTORY
set -eu
# shellcheck source=scripts/need.sh
. "$(dirname "$0")/need.sh"
need dpkg-deb dpkg
need rpmbuild rpm
install_needed

revision=$1
output=$(mkdir -p "$2" && cd "$2" && pwd)
cd "$(dirname "$0")/.."
from=packaging/java
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

install -D -m 644 "$from/20-java.conf" "$work/tree/usr/lib/systemd/system/flume-agent@.service.d/20-java.conf"
fill() { sed -e "s/@VERSION@/$version/; s/@REVISION@/$revision/; s:@TREE@:$work/tree:" \
    -e "/@POSTINST@/{r $from/postinst" -e 'd}' -e "/@POSTRM@/{r $from/postrm" -e 'd}' "$1"; }

fill "$from/flume-java.spec" >"$work/flume-java.spec"
rpmbuild --quiet -bb --define "_topdir $work/rpm" --define "_rpmdir $work" "$work/flume-java.spec"
mv "$work"/noarch/*.rpm "$output/"

install -D -m 755 -t "$work/tree/DEBIAN" "$from/postinst" "$from/postrm"
fill "$from/control" >"$work/tree/DEBIAN/control"
dpkg-deb -Zgzip --build --root-owner-group "$work/tree" "$output/flume-java_${version}-${revision}_all.deb" >/dev/null
