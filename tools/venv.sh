#!/bin/sh
# Brings .venv in line with a lock file, and does nothing when it already is.
# usage: tools/venv.sh run|dev     (PYTHON=... picks the interpreter for a new environment)
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
cd "$root"
venv=.venv
oldest=3.11

case ${1:-} in
    run) lock=requirements.lock ;;
    dev) lock=requirements-dev.lock ;;
    *) echo "usage: tools/venv.sh run|dev" >&2; exit 2 ;;
esac

fail() {
    printf '%s\n' "$@" >&2
    exit 1
}

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

can_make_venv() {
    "$1" -c 'import ensurepip, venv' >/dev/null 2>&1
}

version_of() {
    "$1" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null
}

explain_missing_venv() {
    minor=$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    fail "Python $minor ($1) cannot make virtual environments: its venv or ensurepip module is missing." \
        "On Debian and Ubuntu: apt-get install python$minor-venv. Then run make again."
}

# Prints the interpreter to use: PYTHON if given, else the first on the path that serves.
find_python() {
    if [ -n "${PYTHON:-}" ]; then
        found=$(version_of "$PYTHON") || fail "PYTHON=$PYTHON is not a Python that runs here."
        is_new_enough "$PYTHON" ||
            fail "PYTHON=$PYTHON is Python $found; Storekeeper needs $oldest or newer."
        can_make_venv "$PYTHON" || explain_missing_venv "$PYTHON"
        echo "$PYTHON"
        return
    fi
    without_venv=
    for candidate in python3.13 python3.12 python3.11 python3 python; do
        is_new_enough "$candidate" || continue
        if can_make_venv "$candidate"; then
            echo "$candidate"
            return
        fi
        without_venv=${without_venv:-$candidate}
    done
    [ -z "$without_venv" ] || explain_missing_venv "$without_venv"
    found=$(version_of python3 || echo none)
    fail "Storekeeper needs Python $oldest or newer; the newest python3 found here is: $found." \
        "Install it (Debian and Ubuntu: apt-get install python3.11 python3.11-venv; macOS: brew install python@3.13;" \
        "others: python.org), or name one: make run PYTHON=/path/to/python3.11"
}

# What an installation depends on: where it is, what is locked, how the package is declared.
fingerprint() {
    printf '%s\n' "$root"
    cat "$1" pyproject.toml
}

is_current() {
    [ -x "$venv/bin/python" ] && [ -f "$venv/.installed-$1" ] &&
        fingerprint "$2" | cmp -s - "$venv/.installed-$1"
}

is_current "$1" "$lock" && exit 0

# An environment whose interpreter has gone, or which was moved here, cannot be repaired.
if [ -d "$venv" ]; then
    if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1 ||
        [ "$(cat "$venv/.made-in" 2>/dev/null)" != "$root" ]; then
        echo "Making .venv anew: the one here is incomplete or was made elsewhere."
        rm -rf "$venv"
    fi
fi
if [ ! -d "$venv" ]; then
    python=$(find_python)
    echo "Making .venv with Python $(version_of "$python") ..."
    "$python" -m venv "$venv" || fail "Could not make .venv with $python."
    printf '%s\n' "$root" >"$venv/.made-in"
fi

rm -f "$venv/.installed-$1"
echo "Installing what $lock lists into .venv (once; takes a minute or less) ..."
install="$venv/bin/python -m pip install --quiet --disable-pip-version-check"
# Of what developers install, the clients of AWS's infrastructure are most, and are seldom imported.
[ "$1" = run ] || install="$install --no-compile"
$install --require-hashes -r "$lock" ||
    fail "Could not install the packages in $lock: see the message above. Is the package index reachable?"
$install --no-deps --no-build-isolation --editable . ||
    fail "Could not install Storekeeper itself into .venv: see the message above."

if [ "$1" = dev ]; then
    # What doesn't compile is told by whoever imports it.
    "$venv/bin/python" -m compileall -qq -j 0 -x '/(aws_cdk|cfnlint|networkx|sympy)/' "$venv/lib" || :
fi

fingerprint "$lock" >"$venv/.installed-$1"
# requirements-dev.lock contains requirements.lock, version by version.
if [ "$1" = dev ]; then
    fingerprint requirements.lock >"$venv/.installed-run"
fi
