# shellcheck shell=sh
# apt_or_tell PACKAGE…: installs Debian packages where this user may; otherwise prints the command to type, and fails.

apt_or_tell() {
    command="apt-get install -y --no-install-recommends $*"
    if ! command -v apt-get >/dev/null; then
        echo "please install with your package manager: $*" >&2
        return 1
    elif [ "$(id -u)" = 0 ]; then
        as_root=""
    elif sudo -n true 2>/dev/null; then
        as_root="sudo"
    else
        echo "this needs root once; please type:  sudo $command" >&2
        return 1
    fi
    echo "installing $* by apt-get"
    # RUNLEVEL=1: a server that is only a tool here must not start as a service of this machine.
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq &&
        $as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 $command -qq >/dev/null
}
