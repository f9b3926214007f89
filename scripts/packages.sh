#!/bin/sh
# Makes a .deb and an .rpm of the program that was built in release mode, and both of flume-java.
# usage: packages.sh TARGET_DIRECTORY [REVISION [OUTPUT_DIRECTORY]]
set -eu
target=$1
revision=${2:-1}
output=${3:-$target/packages}
tools=$target/tools
export PATH="$tools/bin:$PATH"

# tool NAME VERSION
tool() {
    [ "$("$tools/bin/$1" --version 2>/dev/null | grep -o '[0-9.]*$')" = "$2" ] ||
        cargo install --locked --quiet --root "$tools" "$1@$2"
}
tool cargo-deb 3.8.0
tool cargo-generate-rpm 0.21.1

mkdir -p "$output"
cargo deb --quiet --no-build -p flume-ng --deb-revision "$revision" --output "$output/"
cargo generate-rpm -p crates/cli --target-dir "$target" --set-metadata "release = \"$revision\"" --output "$output/"
"$(dirname "$0")/java-package.sh" "$revision" "$output"
ls -1 "$output"/flume*
