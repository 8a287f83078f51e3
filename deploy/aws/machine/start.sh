#!/bin/bash
# What a machine does first. It fetches the release, believes it by its hash alone, and lets the
# release's own install.sh do the rest. What stands between at signs is filled in by the stack.
set -euo pipefail
exec >>/var/log/storekeeper-start.log 2>&1

tell() {
    /opt/aws/bin/cfn-signal --exit-code "$1" --reason "$2" \
        --stack '@STACK@' --resource '@GROUP@' --region '@REGION@'
}
# The machine goes when the stack rolls back: what it said last is told with the signal, which stands
# in the stack's events, and on its console. Without a signal the stack would wait for its whole
# patience.
fail() {
    local last
    last=$(tail -n 5 "$2" | tr -c '[:print:]' ' ' | tail -c 500) || true
    tail -n 50 "$2" >/dev/console || true
    tell 1 "$1: $last" || true
}
trap 'fail "the machine could not be set up" /var/log/storekeeper-start.log' ERR

dnf install --assumeyes --quiet aws-cfn-bootstrap
umask 077
mkdir -p /etc/storekeeper /var/lib/storekeeper-release
cat >/etc/storekeeper/settings.env <<'SETTINGS'
@SETTINGS@
SETTINGS
cat >/etc/storekeeper/secrets.env <<'SECRETS'
@SECRETS@
SECRETS
cat >/etc/storekeeper/agent.json <<'AGENT'
@AGENT@
AGENT
cd /var/lib/storekeeper-release
aws s3 cp --only-show-errors --region '@REGION@' \
    's3://@BUCKET@/releases/@RELEASE@.tar.gz' release.tar.gz
if ! echo '@RELEASE@  release.tar.gz' | sha256sum --check --status; then
    echo 'what lies in the bucket is not the release of this hash; nothing of it was run'
    fail 'the machine could not be set up' /var/log/storekeeper-start.log
    exit 1
fi
tar --extract --gzip --no-same-owner --file release.tar.gz
bash ./install.sh

# At the signal an update takes an old machine away. The load balancer counts this one only after
# looks of its own, so it has to be ready for as long, without a break: a look a second.
ready=0
for _ in $(seq 600); do
    if curl --silent --fail --max-time 5 http://127.0.0.1:8000/readyz >/dev/null; then
        if [ "$ready" -ge '@STEADY@' ]; then
            # Outside of updates nobody waits for the signal, and it may be refused.
            tell 0 ready || true
            exit 0
        fi
        ready=$((ready + 1))
    else
        ready=0
    fi
    sleep 1
done
fail 'the shop does not stay ready within ten minutes' /var/log/storekeeper.log
