"""Renews the key that signs tokens: a function of Lambda that Secrets Manager calls in four steps.

The secret holds three keys. Every machine takes tokens of all three and signs with `current`, so a
machine that has not seen a renewal yet, and one that has, take each other's tokens: what becomes
`current` was known to all as `next` for a whole period.
"""

import json
import secrets
from typing import Any

import botocore.session

# Of `secrets.token_urlsafe`: 64 letters.
KEY_BYTES = 48


def renewed(keys: dict[str, str]) -> dict[str, str]:
    """The keys of the next period. The first time there is no `next` yet, and it is only made."""
    fresh = secrets.token_urlsafe(KEY_BYTES)
    if not keys.get("next"):
        return {"current": keys["current"], "next": fresh, "previous": keys.get("previous", "")}
    return {"current": keys["next"], "next": fresh, "previous": keys["current"]}


def handler(event: dict[str, Any], context: object, client: Any = None) -> None:
    """One step; each may come twice."""
    client = client or botocore.session.get_session().create_client("secretsmanager")
    secret, version, step = event["SecretId"], event["ClientRequestToken"], event["Step"]
    stages = client.describe_secret(SecretId=secret)["VersionIdsToStages"]
    if version not in stages:
        raise ValueError(f"{version} is no version of {secret}")
    if "AWSCURRENT" in stages[version]:
        return
    if step == "createSecret":
        create(client, secret, version, has_value="AWSPENDING" in stages[version])
    elif step == "testSecret":
        test(client, secret, version)
    elif step == "finishSecret":
        old = next(one for one, names in stages.items() if "AWSCURRENT" in names)
        client.update_secret_version_stage(
            SecretId=secret,
            VersionStage="AWSCURRENT",
            MoveToVersionId=version,
            RemoveFromVersionId=old,
        )


def create(client: Any, secret: str, version: str, *, has_value: bool) -> None:
    if has_value:
        try:
            client.get_secret_value(SecretId=secret, VersionId=version, VersionStage="AWSPENDING")
        except client.exceptions.ResourceNotFoundException:
            pass  # it has its name already, and no value
        else:
            return
    found = client.get_secret_value(SecretId=secret, VersionStage="AWSCURRENT")
    client.put_secret_value(
        SecretId=secret,
        ClientRequestToken=version,
        SecretString=json.dumps(renewed(json.loads(found["SecretString"]))),
        VersionStages=["AWSPENDING"],
    )


def test(client: Any, secret: str, version: str) -> None:
    """Refuses keys that the shop would refuse, or that would end everybody's session."""
    pending = client.get_secret_value(SecretId=secret, VersionId=version, VersionStage="AWSPENDING")
    keys = json.loads(pending["SecretString"])
    active = client.get_secret_value(SecretId=secret, VersionStage="AWSCURRENT")
    now = json.loads(active["SecretString"])
    if min(len(keys["current"]), len(keys["next"])) < 32:
        raise ValueError("a key is too short")
    if now["current"] not in (keys["current"], keys["previous"]):
        raise ValueError("the key in use would not be taken any more")
