#!/bin/sh
# Makes the virtual environment DIRECTORY with exactly the packages of the lock, by their hashes, and
# the shop of the checkout that this lies in.
# usage: environment.sh DIRECTORY     (PYTHON: the interpreter; INSTALL: more options for pip)
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd -P)

"${PYTHON:-python3}" -m venv "$1"
# shellcheck disable=SC2086 # several options
"$1/bin/python" -m pip install --quiet --disable-pip-version-check ${INSTALL:-} \
    --require-hashes --requirement "$root/deploy/single/requirements.lock"
# What builds the shop's own package is among the locked ones.
# shellcheck disable=SC2086
"$1/bin/python" -m pip install --quiet --disable-pip-version-check ${INSTALL:-} \
    --no-deps --no-index --no-build-isolation "$root"
