#!/bin/sh
# Makes the directories of the released Java Flume that the tests of the file channel take over, each with what Java
# Flume delivers from a copy of it: make.sh JAVA_FLUME DATA, where JAVA_FLUME is what rig/java-flume/install.sh filled.
set -eu
flume=$(cd "${1:?usage: make.sh JAVA_FLUME DATA}" && pwd)
mkdir -p "${2:?usage: make.sh JAVA_FLUME DATA}"
data=$(cd "$2" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

run() {
    java -Dorg.slf4j.simpleLogger.defaultLogLevel=error -cp "$flume/lib/*" "$here/FileChannels.java" "$@"
}

printf 'secret' > "$work/password"
keytool -genseckey -alias key-1 -keyalg AES -keysize 128 -storetype JCEKS -keystore "$work/keys.jceks" \
    -storepass secret -keypass secret 2> /dev/null
cp "$work/keys.jceks" "$data/keys.jceks"

for scenario in crash checkpoint logs open roll clean encrypted; do
    set --
    if [ $scenario = encrypted ]; then
        set -- encryption.keyProvider=JCEKSFILE encryption.activeKey=key-1 \
            encryption.cipherProvider=AESCTRNOPADDING encryption.keyProvider.keys=key-1 \
            encryption.keyProvider.keyStoreFile="$work/keys.jceks" \
            encryption.keyProvider.keyStorePasswordFile="$work/password"
    fi
    mkdir "$work/$scenario"
    run "$work/$scenario" $scenario "$@"
    rm -rf "$work/$scenario/checkpoint/queueset"
    if [ $scenario = logs ]; then
        rm "$work/logs/checkpoint/"*
    fi
    tar -C "$work/$scenario" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -c . |
        gzip -9n > "$data/$scenario.tar.gz"
    run "$work/$scenario" drain "$@" | grep "^{" > "$data/$scenario.txt"
done
