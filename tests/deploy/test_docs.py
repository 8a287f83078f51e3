"""The commands of docs/aws.md are AWS's own, and the shop's in all documents are the shop's: an
operator meets them for the first time in trouble, and begins anywhere."""

from __future__ import annotations

import functools
import re
import shlex
import subprocess
from collections.abc import Iterator

import botocore.session
import pytest
import typer
from botocore import xform_name
from botocore.exceptions import UnknownServiceError

from storekeeper.cli.commands import app
from storekeeper.config import PREFIX, Settings
from tests.deploy.templates import Assembly
from tests.support.processes import ROOT

TEXT = (ROOT / "docs" / "aws.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
# Those of the command line itself, and its own commands, which no service has.
EVERYWHERE = {"--output", "--query"}
ITS_OWN = {
    ("s3", "cp"): set(),
    ("s3", "sync"): set(),
    ("s3", "rm"): {"--recursive", "--only-show-errors"},
    ("ec2-instance-connect", "open-tunnel"): {"--instance-id"},
}
ENDS = re.compile(r"[\n;|]|&&")
DOCUMENTS = {
    path.name: path.read_text() for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
}
# What a block may name without setting it: arguments of a function.
ARGUMENTS = {"1"}
NAMES = re.compile(r"\$\{?(\w+)")
SETS = re.compile(r"\b([A-Za-z_]\w*)=|\bfor (\w+) in|\bread -r ([a-z ]+)")
SHOP = re.compile(r"(?:^|[\s(])(?:\S*/)?(?:storekeeper|bin/shop) ([a-z][^\n`;|&]*)")


def commands() -> Iterator[str]:
    """Each `aws …` of the document, with what stands in it as text cut down."""
    inline = re.findall(r"`(aws [^`\n]+)`", TEXT)
    for block in [*(one.replace("\\\n", " ") for one in BLOCKS), *inline]:
        rest = re.sub(r"'[^'\n]*'", "TEXT", re.sub(r"#.*", "", block))
        while inner := re.search(r"\$\(([^()]*)\)", rest):
            rest = f"{rest[: inner.start()]}TEXT{rest[inner.end() :]}\n{inner[1]}"
        for part in ENDS.split(rest):
            if found := re.search(r"\baws [a-z].*", part):
                yield re.sub(r'"[^"]*"', "TEXT", found[0]).strip()


ALL = sorted(set(commands()))


def test_the_documents_commands_are_found() -> None:
    said = len(re.findall(r"\baws [a-z0-9-]+ [a-z]", TEXT))
    assert said >= len(ALL) > said * 0.6


def test_the_shell_reads_each_block() -> None:
    for block in BLOCKS:
        subprocess.run(["sh", "-n"], input=block, text=True, check=True)


@functools.cache
def options(service: str, operation: str) -> tuple[set[str], set[str]]:
    """All options of the command, and those it can't do without."""
    session = botocore.session.get_session()
    try:
        model = session.get_service_model("s3" if service == "s3api" else service)
    except UnknownServiceError:
        pytest.fail(f"there is no service {service}")
    names = {xform_name(name, "-"): name for name in model.operation_names}
    assert operation in names, f"{service} has no {operation}"
    shape = model.operation_model(names[operation]).input_shape
    members = dict(shape.members) if shape is not None else {}
    every = {f"--{xform_name(name, '-')}" for name in members}
    switches = {name for name, one in members.items() if one.type_name == "boolean"}
    needed = shape.required_members if shape is not None else []
    return (
        every | {f"--no-{xform_name(name, '-')}" for name in switches},
        {f"--{xform_name(name, '-')}" for name in needed},
    )


@pytest.mark.parametrize("command", ALL)
def test_a_command_is_one_that_aws_has(command: str) -> None:
    _, service, operation, *words = shlex.split(command)
    given = {word for word in words if word.startswith("--")} - EVERYWHERE
    if (service, operation) in ITS_OWN:
        assert given <= ITS_OWN[service, operation]
        return
    if operation == "wait":
        waiters = botocore.session.get_session().get_waiter_model(service)
        (name,) = (one for one in waiters.waiter_names if xform_name(one, "-") == words[0])
        operation = xform_name(waiters.get_waiter(name).operation, "-")
    known, needed = options(service, operation)
    assert given <= known
    assert needed <= {word.replace("--no-", "--", 1) for word in given}


def test_what_the_commands_name_is_what_the_stacks_make(full: Assembly) -> None:
    made = " ".join(map(str, full.templates.values()))
    made += "".join(f" storekeeper-full-{stack} " for stack in full.templates)
    for name in set(re.findall(r"\bstorekeeper-ENV-([a-z]+(?:-[a-z]+)*)", TEXT)):
        if name.startswith("restored"):
            continue
        assert re.search(rf"storekeeper-full-{name}\b", made), name


def quiet(block: str) -> str:
    """Without comments, and without what stands in single quotes, which no shell looks into."""
    return re.sub(r"'[^'\n]*'", "TEXT", re.sub(r"(?m)(^|\s)#.*", "", block))


@pytest.mark.parametrize("block", [one for one in BLOCKS if re.search(r"\baws [a-z]", one)])
def test_a_block_can_be_run_in_a_shell_of_its_own(block: str) -> None:
    """Else it asks another region, or with half of its values, in the midst of a restore."""
    first = block.split("\n", maxsplit=1)[0].strip()
    assert first.startswith("export AWS_PROFILE=PROFILE AWS_DEFAULT_REGION=REGION AWS_PAGER=")
    text = quiet(block)
    names = {one for found in SETS.findall(text) for part in found for one in part.split()}
    assert set(NAMES.findall(text)) <= names | ARGUMENTS
    for function in re.findall(r"\bremove\b(?!\()", text):
        assert f"{function}() {{" in text


def shops() -> Iterator[tuple[str, str]]:
    """Each command of the shop, with the document that names it."""
    for name, text in DOCUMENTS.items():
        for block, inline in re.findall(r"```\w*\n(.*?)```|`([^`\n]+)`", text, re.DOTALL):
            for found in SHOP.finditer(quiet((block or inline).replace("\\\n", " "))):
                yield name, found[1].strip()


SHOPS = sorted(set(shops()))


def test_the_shops_commands_are_found() -> None:
    assert len(SHOPS) > 40
    assert (
        "aws.md",
        "copy --from dynamodb:storekeeper-BLUE- --to dynamodb:storekeeper-GREEN-",
    ) in SHOPS


@pytest.mark.parametrize(("document", "command"), SHOPS)
def test_a_command_is_one_that_the_shop_has(document: str, command: str) -> None:
    known = typer.main.get_command(app)
    words = shlex.split(command)
    while words and isinstance(known, typer.core.TyperGroup):
        name = words.pop(0)
        assert name in known.commands
        known = known.commands[name]
    has = {option for one in known.params for option in (*one.opts, *one.secondary_opts)}
    assert {word for word in words if word.startswith("-")} <= has


def test_the_shops_command_is_that_of_the_checkout() -> None:
    """An operator of machines at AWS has it nowhere else."""
    for block in BLOCKS:
        for found in re.findall(r"(\S*)\bstorekeeper [a-z]", quiet(block)):
            assert found == ".venv/bin/"


@pytest.mark.parametrize("document", sorted(DOCUMENTS))
def test_settings_are_such_as_the_shop_has(document: str) -> None:
    has = {f"{PREFIX}{name.upper()}" for name in Settings.__struct_fields__} | {f"{PREFIX}CONFIG"}
    assert set(re.findall(rf"\b{PREFIX}[A-Z_]*[A-Z]\b", DOCUMENTS[document])) <= has
