#!/bin/sh
# The shop's command with this machine's settings, as the shop's own user. Files by their whole
# path, where that user can read or write them: `sudo /opt/storekeeper/bin/shop create-admin ADDRESS`
set -eu
cd /var/lib/storekeeper
exec runuser -u storekeeper -- env \
    STOREKEEPER_CONFIG=/etc/storekeeper/storekeeper.toml \
    AWS_SHARED_CREDENTIALS_FILE=/etc/storekeeper/aws-credentials \
    /opt/storekeeper/current/bin/storekeeper "$@"
