#!/bin/sh
# Puts the released jars of Java Flume 1.11.0 into DIRECTORY/lib, once. Maven and a JDK are installed by apt-get where
# they are missing; as another user than root the command is printed instead.
set -eu
directory=${1:?usage: install.sh DIRECTORY}
here=$(cd "$(dirname "$0")" && pwd)

missing=
command -v java >/dev/null 2>&1 || missing="$missing default-jre-headless"
command -v mvn >/dev/null 2>&1 || missing="$missing maven"
if [ -n "$missing" ]; then
    if [ "$(id -u)" -ne 0 ]; then
        echo "please run: sudo apt-get install -y$missing" >&2
        exit 1
    fi
    apt-get update -qq
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $missing >/dev/null
fi

stamp="$directory/pom.xml"
if ! cmp -s "$here/pom.xml" "$stamp"; then
    rm -rf "$directory/lib"
    mkdir -p "$directory"
    mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies -DincludeScope=runtime \
        -DoutputDirectory="$(cd "$directory" && pwd)/lib"
    cp "$here/pom.xml" "$stamp"
fi
