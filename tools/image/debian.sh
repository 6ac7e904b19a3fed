# shellcheck shell=sh
# Debian packages in a layer. To be sourced.

# install_debian PACKAGE…: with g++ come Python's headers too, which a distribution's Python has in a package of their own.
install_debian() {
    packages=$*
    case " $packages " in
    *" g++ "*)
        python3 -c 'import os, sysconfig; os.stat(sysconfig.get_path("include") + "/Python.h")' 2>/dev/null ||
            packages="$packages python3-dev"
        ;;
    esac
    export DEBIAN_FRONTEND=noninteractive
    apt-get update
    # shellcheck disable=SC2086
    apt-get install -y --no-install-recommends $packages
    apt-get clean
}
