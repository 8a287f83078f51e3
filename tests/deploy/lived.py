"""A shop as its machines would run it, on what the stacks made at the local engine: the settings
and keys of the launch template, the role's credentials from the machine's own address for them, and
customers who come through the gateway.

What differs from a machine at AWS is in `Machine.differs`, and nowhere else.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from deploy.aws.assembly import Made, stacks
from deploy.aws.deploying import deploy
from deploy.aws.machines import FOLDER
from tests.cli.terminal import Terminal, eventually
from tests.deploy.engine import Aws
from tests.deploy.told import Told, as_systemd_reads, told
from tests.support.faulty_dynamodb import FaultyDynamo
from tests.support.local_engines import url

Outputs = Mapping[str, Mapping[str, str]]


class Deployed(NamedTuple):
    """An environment's stacks at the engine."""

    aws: Aws
    made: Mapping[str, Made]
    outputs: Outputs
    told: Told

    def properties(self, part: str, kind: str) -> list[dict[str, Any]]:
        """Of the stack's resources of a type, also of those that the engine can't make."""
        resources = self.made[part].resources.values()
        return [one["Properties"] for one in resources if one["Type"] == f"AWS::{kind}"]

    def value(self, property: Any) -> str:
        """What another stack exports."""
        if isinstance(property, str):
            return property
        stack, _, name = property["Fn::ImportValue"].partition(":")
        return self.outputs[stack.rpartition("-")[2]][name]


def deployed(aws: Aws, folder: Path, upload: Callable[[str], str]) -> Deployed:
    """By the deployment's own code. `folder`: the assembly; `upload`: as `deploy` wants it."""
    outputs = deploy(aws.formation, aws.known(folder), upload=upload, prefix_list=aws.prefix_list)
    whole = {one.part: one for one in stacks(folder)}
    template = f"storekeeper-{folder.name}-machine"
    return Deployed(aws, whole, outputs, told(aws.client("ec2"), template))


class Machine:
    """In a folder of its own. `dynamo` may be told to fail."""

    def __init__(self, at: Deployed, folder: Path, dynamo: FaultyDynamo) -> None:
        self._folder = folder
        pool = at.outputs["identity"]["UserPool"]
        # Files lie here, and not in /var/lib; the shop listens here alone; the engine stands for
        # AWS, with the pool's keys at its address; and nobody waits a minute for figures.
        self.differs = {
            "STOREKEEPER_DATABASE": str(folder / "shop.db"),
            "STOREKEEPER_HOST": "127.0.0.1",
            "STOREKEEPER_CLOUDWATCH_SECONDS": "1",
            "STOREKEEPER_COGNITO_JWKS_URL": f"{url('ministack')}/{pool}/.well-known/jwks.json",
            "AWS_ENDPOINT_URL": url("ministack"),
            "AWS_ENDPOINT_URL_DYNAMODB": dynamo.url,
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": url("ministack"),
        }
        self.settings = at.told.file("SETTINGS")
        # No keys of AWS: those are the role's, and have to be asked for.
        bare = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        keys = self._fetched(at.told.file("SECRETS"), {**bare, "HOME": str(folder)})
        self.terminal = Terminal(folder)
        self.terminal.environment = {
            **bare,
            "HOME": str(folder),
            **self.settings,
            **keys,
            **self.differs,
        }

    def _fetched(self, secrets: Mapping[str, str], bare: Mapping[str, str]) -> dict[str, str]:
        """By the script of storekeeper-secrets.service."""
        target = self._folder / "keys.env"
        script = str(FOLDER / "fetch_secrets.py")
        subprocess.run(
            [sys.executable, script, str(target)],
            env={**bare, **secrets, **self.differs},
            check=True,
            timeout=30,
        )
        assert target.stat().st_mode & 0o077 == 0
        return as_systemd_reads(target.read_text())

    def command(self, *arguments: str, stdin: str = "") -> None:
        """Beside the server, as shop.sh runs it: with a replica of its own."""
        beside = dict(
            line.split("=", 1)
            for line in (FOLDER / "command.env").read_text().splitlines()
            if "=" in line
        )
        place = self._folder / "command"
        place.mkdir(exist_ok=True)
        beside["STOREKEEPER_DATABASE"] = str(place / "shop.db")
        self.terminal.ok(*arguments, stdin=stdin, **beside)


class Customer:
    """Somebody who reaches the shop by its domain, at the engine's gateway."""

    def __init__(self, domain: str) -> None:
        self._http = httpx.Client(base_url=url("ministack"), headers={"Host": domain}, timeout=60)

    def __enter__(self) -> Customer:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        return self._http.request(method, path, **more)

    def did(self, method: str, path: str, **more: Any) -> Any:
        """What a request that has to go well is answered with."""
        answer = self.ask(method, path, **more)
        assert answer.is_success, answer.text
        return answer.json()

    def log_in(self, email: str, password: str) -> None:
        """For all requests from now on."""
        body = {"email": email, "password": password}
        token = self.did("POST", "/auth/login", json=body)["access_token"]
        self._http.headers["Authorization"] = f"Bearer {token}"


def lead_to(at: Deployed, address: str) -> None:
    """The engine has no VPC links: the gateway's one integration leads to the machine itself."""
    client = at.aws.client("apigatewayv2")
    api = at.outputs["gateway"]["ApiId"]
    (found,) = client.get_integrations(ApiId=api)["Items"]
    assert found["IntegrationType"] == "HTTP_PROXY"
    client.update_integration(
        ApiId=api, IntegrationId=found["IntegrationId"], IntegrationUri=address
    )


class Subscriber:
    """A queue that is subscribed to a topic."""

    def __init__(self, aws: Aws, topic: str) -> None:
        self._sqs = aws.client("sqs")
        name = f"told-of-{topic.rpartition(':')[2]}"
        self._queue = self._sqs.create_queue(QueueName=name)["QueueUrl"]
        asked = self._sqs.get_queue_attributes(QueueUrl=self._queue, AttributeNames=["QueueArn"])
        aws.client("sns").subscribe(
            TopicArn=topic, Protocol="sqs", Endpoint=asked["Attributes"]["QueueArn"]
        )

    def gets(self, **wanted: str) -> dict[str, Any]:
        """The first message with these values; those before it are read past."""
        found: dict[str, Any] = eventually(lambda: self._look(wanted))
        return found

    def _look(self, wanted: Mapping[str, str]) -> dict[str, Any] | None:
        taken = self._sqs.receive_message(
            QueueUrl=self._queue, MaxNumberOfMessages=1, WaitTimeSeconds=1
        )
        for message in taken.get("Messages", ()):
            self._sqs.delete_message(QueueUrl=self._queue, ReceiptHandle=message["ReceiptHandle"])
            body: dict[str, Any] = json.loads(json.loads(message["Body"])["Message"])
            if wanted.items() <= body.items():
                return body
        return None


def page(at: Deployed) -> set[str]:
    """Makes the composite alarm, which the engine takes only when it is asked directly: with its own
    rule, but for alarms that the engine couldn't make. Answers their names."""
    (given,) = at.properties("monitoring", "CloudWatch::CompositeAlarm")
    cloudwatch = at.aws.client("cloudwatch")
    there = {one["AlarmName"] for one in cloudwatch.describe_alarms()["MetricAlarms"]}
    named = re.findall(r'ALARM\("([^"]+)"\)', given["AlarmRule"])
    assert given["AlarmRule"] == " OR ".join(f'ALARM("{name}")' for name in named)
    cloudwatch.put_composite_alarm(
        AlarmName=given["AlarmName"],
        AlarmRule=" OR ".join(f'ALARM("{name}")' for name in named if name in there),
        AlarmActions=[at.value(one) for one in given["AlarmActions"]],
    )
    return set(named) - there


@contextlib.contextmanager
def served(at: Deployed, folder: Path, dynamo: FaultyDynamo) -> Iterator[Machine]:
    """A machine whose shop is open, at the other end of the gateway."""
    machine = Machine(at, folder, dynamo)
    with machine.terminal.serving() as process:
        lead_to(at, process.url)
        yield machine
