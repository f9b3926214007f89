#!/bin/sh
# Compiles the programs beside this script against the jars of JARS/lib into DIRECTORY, where something changed.
set -eu
directory=${1:?usage: install.sh DIRECTORY JARS}
jars=${2:?usage: install.sh DIRECTORY JARS}
here=$(cd "$(dirname "$0")" && pwd)

. "$here/../../scripts/need.sh"
need javac default-jdk-headless
install_needed

mkdir -p "$directory"
sources=$(find "$here" -name '*.java')
if [ -z "$(find "$directory" -name ReadBack.class)" ] ||
    [ -n "$(find "$here" -name '*.java' -newer "$directory/ReadBack.class")" ]; then
    # shellcheck disable=SC2086
    javac -nowarn -d "$directory" -cp "$jars/lib/*" $sources
fi
