#!/bin/sh
# Whether RELEASE serves this shop: it is started where nobody looks, asked, and ended.
# usage: trial.sh RELEASE     (PATIENCE: seconds for its start)
set -eu
patience=${PATIENCE:-60}
told=$(mktemp)
trap 'rm -f "$told"' EXIT

"$1/bin/storekeeper" serve --host 127.0.0.1 --port 0 --json >"$told" &
server=$!
waited=0
while [ ! -s "$told" ] && kill -0 "$server" 2>/dev/null && [ "$waited" -lt "$((patience * 5))" ]; do
    sleep 0.2
    waited=$((waited + 1))
done
url=$(sed -n 's/.*"url": *"\([^"]*\)".*/\1/p' "$told")
outcome=0
[ -n "$url" ] && "$1/bin/storekeeper" ready --wait "$patience" "$url" || outcome=1
kill -TERM "$server" 2>/dev/null || true
wait "$server" || outcome=1
exit "$outcome"
