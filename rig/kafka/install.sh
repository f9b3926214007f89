#!/bin/sh
# Puts the released jars of Apache Kafka, 4.3.0 or VERSION, into DIRECTORY/lib, once, and compiles Records.java, where it changed, into
# DIRECTORY/classes. Maven and a JDK are installed by apt-get where they are missing; as another user than root the
# command is printed instead.
set -eu
directory=${1:?usage: install.sh DIRECTORY [VERSION]}
version=${2:-4.3.0}
here=$(cd "$(dirname "$0")" && pwd)

. "$here/../../scripts/need.sh"
need java default-jre-headless
need javac default-jdk-headless
need mvn maven
need openssl openssl
install_needed

mkdir -p "$directory/classes"
directory=$(cd "$directory" && pwd)
if ! cmp -s "$here/pom.xml" "$directory/pom.xml"; then
    rm -rf "$directory/lib"
    mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies -DincludeScope=runtime \
        -Dkafka.version="$version" \
        -DoutputDirectory="$directory/lib"
    cp "$here/pom.xml" "$directory/pom.xml"
fi
if ! cmp -s "$here/Records.java" "$directory/classes/Records.java"; then
    javac -nowarn -d "$directory/classes" -cp "$directory/lib/*" "$here/Records.java"
    cp "$here/log4j2.xml" "$here/Records.java" "$directory/classes/"
fi
