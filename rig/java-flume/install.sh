#!/bin/sh
# Puts the released jars of Java Flume, 1.11.0 or VERSION, into DIRECTORY/lib, once. Maven and a JDK are installed by apt-get where
# they are missing; as another user than root the command is printed instead.
set -eu
directory=${1:?usage: install.sh DIRECTORY [VERSION]}
version=${2:-1.11.0}
here=$(cd "$(dirname "$0")" && pwd)

. "$here/../../scripts/need.sh"
need java default-jre-headless
need mvn maven
install_needed

stamp="$directory/pom.xml"
if ! cmp -s "$here/pom.xml" "$stamp"; then
    rm -rf "$directory/lib"
    mkdir -p "$directory"
    mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies -DincludeScope=runtime \
        -Dflume.version="$version" \
        -DoutputDirectory="$(cd "$directory" && pwd)/lib"
    cp "$here/pom.xml" "$stamp"
fi
