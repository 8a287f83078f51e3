#!/bin/sh
# What is done to the shop's file before this release serves, while nothing else does: a restore that
# was asked for; else, where there are migrations to do, a backup, the migrations and a trial. A
# release that isn't ready then has served nobody, so the backup goes back and nothing is lost. It
# isn't tried again by itself: systemd starts what failed anew, and for every customer who waits.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
release=$(dirname -- "$here")
storekeeper=$release/bin/storekeeper
state=${STATE:-/var/lib/storekeeper}
name=$(basename -- "$(realpath -- "$release")")
backup=$state/backups/before-$name.db
asked=$state/restore-at-start
refused=$state/refused-release

if [ "$(cat "$refused" 2>/dev/null)" = "$name" ]; then
    echo "$name has failed on this shop; install.sh upgrade tries it, or another, anew" >&2
    sleep "${PAUSE:-2}" # systemd starts it again at once
    exit 1
fi
if [ -e "$asked" ]; then
    "$storekeeper" restore "$(cat "$asked")"
    rm "$asked"
    exit 0
fi
# A new shop is made by the server.
[ -e "$state/shop.db" ] || exit 0
pending=$("$storekeeper" migrate --check)
[ "$pending" != "up to date" ] || exit 0

echo "$pending; first a backup"
mkdir -p "$state/backups"
"$storekeeper" backup --force "$backup"
if "$storekeeper" migrate && "$here/trial.sh" "$release"; then
    exit 0
fi
echo "$name" >"$refused"
"$storekeeper" restore "$backup"
echo "this release can't serve the shop; the file is as it was" >&2
exit 1
