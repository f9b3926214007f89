#!/bin/sh
# Installs what a bare Debian machine lacks: a C compiler and netcat by apt-get, Rust by rustup.
# As another user than root it prints the command instead.
set -eu
MSRV=1.95

missing=
command -v cc >/dev/null 2>&1 || missing="$missing gcc libc6-dev"
command -v curl >/dev/null 2>&1 || missing="$missing curl ca-certificates"
command -v nc >/dev/null 2>&1 || missing="$missing netcat-openbsd"
if [ -n "$missing" ]; then
    if [ "$(id -u)" -ne 0 ]; then
        echo "please run: sudo apt-get install -y$missing" >&2
        exit 1
    fi
    apt-get update -qq
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $missing >/dev/null
fi

[ -f "$HOME/.cargo/env" ] && . "$HOME/.cargo/env"
have=$(cargo --version 2>/dev/null | cut -d' ' -f2 || true)
if [ -z "$have" ] || [ "$(printf '%s\n%s\n' "$MSRV" "$have" | sort -V | head -n1)" != "$MSRV" ]; then
    if command -v rustup >/dev/null 2>&1; then
        rustup toolchain install --profile default stable
    else
        curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile default
    fi
fi
