#!/bin/sh
# Installs what a bare Debian machine lacks: a C compiler, netcat and the libraries of Kafka's client by apt-get, Rust by
# rustup.
# As another user than root it prints the command instead.
set -eu
MSRV=1.95

. "$(dirname "$0")/need.sh"
need cc gcc libc6-dev
need curl curl ca-certificates
need nc netcat-openbsd
# What the client of Kafka is built from: TLS and SASL are the system's.
need c++ g++
need make make
need pkg-config pkg-config
pkg-config --exists openssl libsasl2 2>/dev/null || needed="$needed libssl-dev libsasl2-dev"
install_needed

[ -f "$HOME/.cargo/env" ] && . "$HOME/.cargo/env"
have=$(cargo --version 2>/dev/null | cut -d' ' -f2 || true)
if [ -z "$have" ] || [ "$(printf '%s\n%s\n' "$MSRV" "$have" | sort -V | head -n1)" != "$MSRV" ]; then
    if command -v rustup >/dev/null 2>&1; then
        rustup toolchain install --profile default stable
    else
        # Not piped: a download that fails would be an empty script that succeeds.
        script=$(mktemp)
        curl --proto '=https' --tlsv1.2 -sSf -o "$script" https://sh.rustup.rs
        sh "$script" -y --profile default
        rm -f "$script"
    fi
fi
