#!/bin/sh
# What is done to the shop's file before this release serves, while nothing else does: a restore that
# was asked for; else, where there are migrations to do, a backup, the migrations and a trial. A
# release that isn't ready then has served nobody, so the backup goes back and nothing is lost.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
release=$(dirname -- "$here")
storekeeper=$release/bin/storekeeper
state=${STATE:-/var/lib/storekeeper}
backup=$state/backups/before-$(basename -- "$release").db
asked=$state/restore-at-start

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
"$storekeeper" restore "$backup"
echo "this release can't serve the shop; the file is as it was" >&2
exit 1
