# Sourced: `need COMMAND PACKAGE...` notes the Debian packages of a command that is missing; `install_needed` installs
# what was noted, or prints how, as another user than root.

needed=

need() {
    command -v "$1" >/dev/null 2>&1 && return
    shift
    needed="$needed $*"
}

install_needed() {
    [ -n "$needed" ] || return 0
    if [ "$(id -u)" -ne 0 ]; then
        echo "please run: sudo apt-get install -y$needed" >&2
        exit 1
    fi
    apt-get update -qq
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $needed >/dev/null
}
