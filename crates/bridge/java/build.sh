#!/bin/sh
# Makes ../host.jar, the program that runs in the JVM. JARS is a directory with the jars of Flume to compile against,
# as rig/java-flume/install.sh fills one. The same sources give the same bytes.
set -eu
jars=${1:?usage: build.sh JARS}
here=$(cd "$(dirname "$0")" && pwd)
classes=$(mktemp -d)
trap 'rm -rf "$classes"' EXIT
javac --release 8 -Xlint:-options -cp "$jars/*" -d "$classes" "$here"/flume/host/*.java
cp "$here/flume/host/log4j2.xml" "$here/flume/host/log4j.properties" "$classes/flume/host/"
# shellcheck disable=SC2046
cd "$classes" && jar --create --no-manifest --date=2026-01-01T00:00:00Z --file "$here/../host.jar" \
    $(find flume -type f | LC_ALL=C sort)
