# shellcheck shell=sh
# What makes a layer the same each time it is built. Sourced: `begin` before the work of a layer, `settle` after it.
# Needs SOURCE_DATE_EPOCH.

begin() {
    begun=$(mktemp -p /dev/shm) # no part of the image
    sleep 0.1                   # so that all that is written has a later time
}

# The files that the work has written get one time of change, Python's are compiled, and what only tells when and how
# it was done is emptied. A file of the base is never touched, which would bring it into our layer as a whole, and never
# removed: docker notes the time of that.
settle() {
    rm -rf /var/lib/apt/lists/*
    find /var/cache /var/log /var/lib/dpkg -type f -newer "$begun" \
        \( -path '/var/cache/*' ! -name '*.dat' -o -path '/var/log/*' -o -name '*-old' \) -size +0 -exec truncate --size 0 {} +
    written=$(mktemp -p /dev/shm)
    find / -xdev -type f -name '*.py' -newer "$begun" >"$written"
    same_time
    # Compiled after that: a compiled file remembers when its source was changed. Files that are no Python of this
    # version (templates, tests of compilers) are told of, and left.
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
