# shellcheck shell=sh
# Makes a layer the same each time it is built. To be sourced: `begin` before the work of a layer, `settle` after it. Needs
# SOURCE_DATE_EPOCH.

begin() {
    begun=$(mktemp -p /dev/shm) # not a part of the image
    sleep 0.1                   # so that everything that is written is newer
}

# All files written since `begin` get the same modification time, Python files are compiled, and logs and caches are
# emptied. Files of the base image are never touched, which would copy them into our layer, and never removed, because docker
# records the time of a removal.
settle() {
    rm -rf /var/lib/apt/lists/*
    find /var/cache /var/log /var/lib/dpkg -type f -newer "$begun" \
        \( -path '/var/cache/*' ! -name '*.dat' -o -path '/var/log/*' -o -name '*-old' \) -size +0 -exec truncate --size 0 {} +
    written=$(mktemp -p /dev/shm)
    find / -xdev -type f -name '*.py' -newer "$begun" >"$written"
    same_time
    # After that, because a compiled file stores the modification time of its source. Files that are not Python of this
    # version (templates, tests of compilers) are reported and left.
    if [ -s "$written" ]; then
        env -u SOURCE_DATE_EPOCH python3 -m compileall -q -i "$written" >/dev/null || true
    fi
    rm -f "$written"
    same_time
    rm -f "$begun"
}

same_time() {
    find / -xdev -newer "$begun" \( -type f -o -type d -o -type l \) \
        -exec touch --no-dereference --date "@$SOURCE_DATE_EPOCH" {} +
}
