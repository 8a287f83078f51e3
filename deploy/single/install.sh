#!/bin/bash
# Puts the shop of this checkout on one Debian or Ubuntu machine, updates it, takes it back, removes
# it. May be started again at any point; what is done already is left as it is.
set -euo pipefail
here=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
root=$(CDPATH='' cd -- "$here/../.." && pwd -P)

# Places and programs; tests name others.
home=${HOME_OF_SHOP:-/opt/storekeeper}
settings=${SETTINGS:-/etc/storekeeper}
state=${STATE:-/var/lib/storekeeper}
units=${UNITS:-/etc/systemd/system}
journal=${JOURNAL:-/etc/systemd}
caddy=${CADDY:-/etc/caddy}
nginx=${NGINX:-/etc/nginx}
webroot=${WEBROOT:-/var/www/letsencrypt} # as in nginx-http.conf
user=${SHOP_USER-storekeeper}
packages=${PACKAGES:-apt-get}
systemctl=${SYSTEMCTL:-systemctl}
environment=${ENVIRONMENT:-$here/environment.sh}
patience=${PATIENCE:-60}
lock=${LOCK:-/run/lock/storekeeper-install}
kept_backups=5

usage() {
    cat <<'TEXT'
usage: install.sh install --domain NAME [--email ADDRESS] [--proxy caddy|nginx|none] [--currency CODE]
       install.sh upgrade
       install.sh rollback [--restore]
       install.sh remove [--with-data]

install   packages of the system, the release of this checkout, settings, services, and Caddy (or
          nginx) before it with a certificate for NAME. ADDRESS is for certbot, with nginx: it is told
          when a certificate can't be renewed. CODE is the shop's currency (GBP).
upgrade   the release of this checkout: backup, trial, change, wait until it is ready. One that isn't
          ready is taken back.
rollback  the release before. Where the newer one has migrated the database, only with --restore:
          the backup made before that goes back, and what was ordered since is set aside with the file.
remove    services and releases. With --with-data the shop and its settings too.
TEXT
}

say() { printf '%s\n' "$*"; }
fail() {
    printf 'install.sh: %s\n' "$*" >&2
    exit 1
}

as_shop() {
    if [[ -n $user && $(id -u) -eq 0 ]]; then
        (cd "$state" && exec runuser -u "$user" -- env STOREKEEPER_CONFIG="$settings/storekeeper.toml" "$@")
    else
        (cd "$state" && STOREKEEPER_CONFIG="$settings/storekeeper.toml" exec "$@")
    fi
}

release_name() {
    local version digest
    version=$(sed -n 's/^__version__ = "\([^"]*\)".*/\1/p' "$root/src/storekeeper/__init__.py")
    digest=$(cd "$root" && find src deploy/single deploy/hardening.conf pyproject.toml -type f \
        ! -path '*/__pycache__/*' -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum)
    say "$version-${digest:0:8}"
}

# Not where the system's Python has gone with an upgrade of the distribution.
runs() { "$1/bin/storekeeper" --help >/dev/null 2>&1; }

# Makes the release of this checkout, whole or not at all. What it starts for that holds a lock, and
# may outlive a run that was killed: the next waits for it instead of making the same in its midst.
make_release() {
    local release=$1 making
    exec {making}>"$lock-making"
    flock --nonblock "$making" || {
        say "what a run that broke off has started is still at work; this waits for its end"
        flock "$making"
    }
    make_release_alone "$release"
    exec {making}>&-
}

make_release_alone() {
    local release=$1
    ! { [[ -e $release/.complete ]] && runs "$release"; } || return 0
    say "making $release"
    rm -rf "$release"
    mkdir -p "$home/releases" "$home/bin"
    umask 022
    "$environment" "$release"
    mkdir -p "$release/share"
    cp "$here/prepare.sh" "$here/trial.sh" "$here/shop.sh" "$here"/*.service "$here"/*.socket \
        "$here/journald@storekeeper.conf" "$root/deploy/hardening.conf" "$release/share/"
    touch "$release/.complete"
}

link_of() { readlink "$home/$1" 2>/dev/null || true; }

# The release, with the services as it brings them. Every unit in this folder goes along:
# storekeeper-backup.service too, which runs once somebody has settings for it and enables it.
use() {
    local release=$1 unit
    for unit in "$release"/share/*.service; do
        install -D -m 644 "$unit" "$units/${unit##*/}"
        install -D -m 644 "$release/share/hardening.conf" "$units/${unit##*/}.d/hardening.conf"
    done
    install -D -m 644 -t "$units" "$release"/share/*.socket
    install -D -m 644 "$release/share/journald@storekeeper.conf" "$journal/journald@storekeeper.conf"
    install -D -m 755 "$release/share/shop.sh" "$home/bin/shop"
    ln -sfn "$release" "$home/current.new"
    mv -T "$home/current.new" "$home/current"
    rm -f "$state/refused-release"
    "$systemctl" daemon-reload
}

is_ready() { as_shop "$home/current/bin/storekeeper" ready --wait "$patience"; }

# The newest stay, and nothing grows without end.
tidy() {
    local path
    for path in "$home"/releases/*; do
        [[ $path == "$(link_of current)" || $path == "$(link_of previous)" ]] || rm -rf "$path"
    done
    find "$state/backups" -maxdepth 1 -name 'before-*.db' -printf '%T@ %p\n' 2>/dev/null |
        sort -rn | tail -n "+$((kept_backups + 1))" | cut -d' ' -f2- | xargs -r -d '\n' rm -f
}

filled() { # FILE, then NAME=VALUE for each @NAME@ or {$NAME} in it
    local text pair
    text=$(<"$1")
    shift
    for pair in "$@"; do
        text=${text//@${pair%%=*}@/${pair#*=}}
        text=${text//\{\$${pair%%=*}\}/${pair#*=}}
    done
    printf '%s\n' "$text"
}

install_packages() {
    [[ $packages != none ]] || return 0
    # shellcheck source=/dev/null
    (. /etc/os-release && [[ " $ID ${ID_LIKE:-} " == *" debian "* ]]) ||
        fail "this is for Debian and Ubuntu; elsewhere follow docs/single.md by hand"
    local wanted=(python3 python3-venv)
    case $1 in
        caddy) wanted+=(caddy) ;;
        nginx) wanted+=(nginx certbot) ;;
    esac
    export DEBIAN_FRONTEND=noninteractive
    "$packages" update -q
    "$packages" install -q -y --no-install-recommends ca-certificates "${wanted[@]}"
}

make_places() {
    local domain=$1 currency=$2 group=${user:-$(id -gn)}
    if [[ -n $user && $(id -u) -eq 0 ]]; then
        getent passwd "$user" >/dev/null ||
            useradd --system --user-group --home-dir "$state" --shell /usr/sbin/nologin "$user"
        install -d -m 700 -o "$user" -g "$user" "$state" "$state/backups"
        install -d -m 750 -g "$group" "$settings"
    else
        install -d -m 700 "$state" "$state/backups"
        install -d -m 750 "$settings"
    fi
    [[ ! -e $settings/storekeeper.toml ]] || return 0
    (umask 027 && filled "$here/storekeeper.toml" "STATE=$state" "DOMAIN=$domain" \
        "CURRENCY=$currency" >"$settings/storekeeper.toml")
    chmod 640 "$settings/storekeeper.toml"
    [[ -z $user || $(id -u) -ne 0 ]] || chgrp "$group" "$settings/storekeeper.toml"
}

# What stood there before us is kept beside.
put_caddy() {
    local file=$caddy/Caddyfile
    [[ ! -e $file || -e $file.before-storekeeper ]] || cp "$file" "$file.before-storekeeper"
    filled "$here/Caddyfile" "DOMAIN=$1" >"$file.new"
    mv "$file.new" "$file"
    "$systemctl" reload-or-restart caddy
}

put_nginx() {
    local domain=$1 email=$2 sites=$nginx/conf.d
    mkdir -p "$webroot"
    filled "$here/nginx-http.conf" "DOMAIN=$domain" >"$sites/storekeeper-http.conf"
    "$systemctl" reload-or-restart nginx
    certbot certonly --non-interactive --agree-tos --email "$email" --webroot --webroot-path "$webroot" \
        --domain "$domain" --keep-until-expiring --deploy-hook "systemctl reload nginx"
    filled "$here/nginx.conf" "DOMAIN=$domain" >"$sites/storekeeper.conf"
    "$systemctl" reload-or-restart nginx
}

do_install() {
    local domain='' email='' proxy=caddy currency=GBP release
    while (($#)); do
        case $1 in
            --domain) domain=${2-} ;;
            --email) email=${2-} ;;
            --proxy) proxy=${2-} ;;
            --currency) currency=${2-} ;;
            *) usage >&2 && fail "unknown option $1" ;;
        esac
        shift 2 || fail "$1 needs a value"
    done
    [[ $domain =~ ^[a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?$ ]] ||
        fail "--domain needs the shop's name, such as shop.example.com"
    [[ $proxy =~ ^(caddy|nginx|none)$ ]] || fail "--proxy is caddy, nginx or none"
    [[ $proxy != nginx || -n $email ]] || fail "certbot, for nginx, needs --email"
    [[ $proxy == nginx || -z $email ]] || fail "--email is for certbot, with --proxy nginx"
    [[ $currency =~ ^[A-Z]{3}$ ]] || fail "--currency needs a code such as EUR"
    release=$home/releases/$(release_name)
    # Of this release, it is an installation that goes on where it broke off.
    [[ -z $(link_of current) || $(link_of current) == "$release" ]] ||
        fail "there is a shop at $home already; use upgrade"
    install_packages "$proxy"
    "${PYTHON:-python3}" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "Storekeeper needs Python 3.11 or newer: Debian 12, Ubuntu 24.04, or PYTHON=…"
    make_release "$release"
    make_places "$domain" "$currency"
    as_shop "$release/bin/storekeeper" config >/dev/null
    use "$release"
    "$systemctl" enable --now storekeeper.socket storekeeper.service
    is_ready || fail "the shop isn't ready; journalctl --namespace storekeeper says why"
    case $proxy in
        caddy) put_caddy "$domain" ;;
        nginx) put_nginx "$domain" "$email" ;;
    esac
    say "the shop is at https://$domain/shop; an admin: $home/bin/shop create-admin ADDRESS"
}

do_upgrade() {
    local old new by pending
    old=$(link_of current)
    [[ -n $old ]] || fail "there is no shop at $home; use install"
    new=$home/releases/$(release_name)
    if [[ $new == "$old" ]]; then
        if [[ -e $home/changing || ! -e $new/.complete ]] || ! runs "$new"; then
            make_release "$new"
            change "$(before)" "$new"
        else
            say "$new is in use already"
        fi
        return 0
    fi
    make_release "$new"
    by=$old
    runs "$old" || by=$new
    as_shop "$by/bin/storekeeper" backup --force "$state/backups/before-${new##*/}.db"
    pending=$(as_shop "$new/bin/storekeeper" migrate --check) ||
        fail "the new release can't use this database; the shop goes on with $old"
    # With migrations the trial is after them, before anybody is served: share/prepare.sh.
    if [[ $pending == "up to date" ]]; then
        as_shop env PATIENCE="$patience" "$new/share/trial.sh" "$new" ||
            fail "the new release wasn't ready in a trial; the shop went on with $old meanwhile"
    fi
    change "$old" "$new"
}

# The release before the one in use, also while it isn't known yet whether that stays.
before() {
    local old
    old=$(cat "$home/changing" 2>/dev/null || true)
    [[ -n $old && $old != "$(link_of current)" ]] || old=$(link_of previous)
    say "$old"
}

# Killed on its way, it is gone on with by the next `upgrade`.
change() {
    local old=$1 new=$2
    printf '%s\n' "$old" >"$home/changing"
    use "$new"
    if "$systemctl" restart storekeeper.service && is_ready; then
        [[ -z $old ]] || ln -sfn "$old" "$home/previous"
        rm "$home/changing"
        renew_backup
        tidy
        say "the shop runs ${new##*/}"
        return 0
    fi
    go_back "$old" "$new"
}

# It runs the release that was in use when it began, until it is started anew.
renew_backup() {
    "$systemctl" try-restart storekeeper-backup.service ||
        say "storekeeper-backup couldn't be started anew; see journalctl --namespace storekeeper"
}

# After an update that failed. Never over orders that the new release may have taken.
go_back() {
    local old=$1 new=$2
    [[ -n $old ]] || fail "${new##*/} isn't ready; see journalctl --namespace storekeeper"
    rm "$home/changing"
    if ! as_shop "$old/bin/storekeeper" migrate --check >/dev/null; then
        ln -sfn "$old" "$home/previous"
        fail "${new##*/} isn't ready, and has migrated the database and may have taken orders. Mend it," \
            "or go back to the backup from before: install.sh rollback --restore"
    fi
    use "$old"
    "$systemctl" restart storekeeper.service
    is_ready || fail "neither ${new##*/} nor ${old##*/} is ready; see journalctl --namespace storekeeper"
    fail "${new##*/} wasn't ready; the shop runs ${old##*/} again, with all that was ordered"
}

do_rollback() {
    local old new backup asked=''
    new=$(link_of current)
    old=$(before)
    [[ -n $old && -x $old/bin/storekeeper ]] || fail "there is no release before this one"
    backup=$state/backups/before-${new##*/}.db
    if ! as_shop "$old/bin/storekeeper" migrate --check >/dev/null 2>&1; then
        [[ ${1-} == --restore ]] ||
            fail "${new##*/} has migrated the database, which ${old##*/} can't use. With --restore the" \
                "backup $backup goes back; what was ordered since stays in a file beside the shop's"
        [[ -e $backup ]] || fail "the backup $backup is gone; restore another by hand (docs/single.md)"
        asked=$state/restore-at-start
    fi
    use "$old"
    # Last of all: a backup that goes back at some later start would take orders away.
    [[ -z $asked ]] || printf '%s\n' "$backup" | as_shop tee "$asked" >/dev/null
    if ! "$systemctl" restart storekeeper.service || ! is_ready; then
        [[ -z $asked ]] || rm -f "$asked"
        fail "${old##*/} isn't ready; see journalctl --namespace storekeeper"
    fi
    ln -sfn "$new" "$home/previous"
    rm -f "$home/changing"
    renew_backup
    say "the shop runs ${old##*/}"
}

do_remove() {
    local unit
    for unit in storekeeper.socket storekeeper.service storekeeper-backup.service; do
        [[ ! -e $units/$unit ]] || "$systemctl" disable --now "$unit"
        rm -rf "${units:?}/$unit" "${units:?}/$unit.d"
    done
    rm -rf "$home" "$journal/journald@storekeeper.conf"
    "$systemctl" daemon-reload
    if [[ ${1-} == --with-data ]]; then
        rm -rf "$state" "$settings"
        [[ -z $user ]] || ! getent passwd "$user" >/dev/null || userdel "$user"
    else
        say "the shop's data stays in $state, its settings in $settings"
    fi
    say "Caddy and nginx are left as they are: remove the site there"
}

case ${1-} in
    -h | --help | help) usage && exit 0 ;;
    install | upgrade | rollback | remove) ;;
    *) usage >&2 && exit 2 ;;
esac
[[ $(id -u) -eq 0 || -z $user ]] || fail "run it as root"
# One at a time. What is started here doesn't hold the lock on.
if [[ -z ${LOCKED-} ]]; then
    code=0
    LOCKED=yes flock --nonblock --close --conflict-exit-code 75 "$lock" "$0" "$@" || code=$?
    [[ $code -ne 75 ]] || fail "another install.sh is at work"
    exit "$code"
fi
command=$1
shift
"do_$command" "$@"
