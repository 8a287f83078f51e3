#!/bin/sh
# The shop's command with this machine's settings and keys, beside the server: it has a replica of
# its own. `sudo /opt/storekeeper/bin/shop create-admin you@example.com`
exec systemd-run --quiet --pty --wait --collect \
    --property=DynamicUser=yes --property=StateDirectory=storekeeper-command \
    --property=NoNewPrivileges=yes --property=ProtectSystem=strict --property=ProtectHome=yes \
    --property=EnvironmentFile=/etc/storekeeper/settings.env \
    --property=EnvironmentFile=/run/storekeeper-secrets/keys.env \
    --property=EnvironmentFile=/opt/storekeeper/share/command.env \
    /opt/storekeeper/bin/storekeeper "$@"
