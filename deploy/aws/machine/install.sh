#!/bin/bash
# Installs the release in whose folder it lies: packages from its own wheels, by their hashes, and
# the services. Nothing is fetched but packages of the system.
set -euo pipefail
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
python=${PYTHON:-python3.12}
home=${HOME_OF_SHOP:-/opt/storekeeper}
units=${UNITS:-/etc/systemd/system}
rotation=${ROTATION:-/etc/logrotate.d}

if command -v dnf >/dev/null; then
    dnf install --assumeyes --quiet python3.12 amazon-cloudwatch-agent logrotate
fi

umask 022
"$python" -m venv "$home"
"$home/bin/python" -m pip install --quiet --disable-pip-version-check --no-index \
    --find-links "$here/wheels" --require-hashes --requirement "$here/requirements.txt"
mkdir -p "$home/share"
cp "$here/fetch_secrets.py" "$here/command.env" "$home/share/"
install -m 755 "$here/shop.sh" "$home/bin/shop"
cp "$here/storekeeper.service" "$here/storekeeper-secrets.service" "$units/"
for unit in storekeeper storekeeper-secrets; do
    install -D -m 644 "$here/hardening.conf" "$units/$unit.service.d/hardening.conf"
done
cp "$here/logrotate.conf" "$rotation/storekeeper"

# Where there is no systemd, as in a root for tests, whoever made it starts the shop.
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    systemctl enable --now storekeeper-secrets.service storekeeper.service logrotate.timer
    /opt/aws/amazon-cloudwatch-agent/bin/amazon-cloudwatch-agent-ctl \
        -a fetch-config -m ec2 -s -c file:/etc/storekeeper/agent.json
fi
