"""What a person at a terminal sees while a command works."""

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path

import pytest

from tests.cli.terminal import COMMAND, PATIENCE_S, Terminal


def seen(terminal: Terminal, *arguments: str) -> str:
    """All that the command writes on a terminal of its own as its standard error."""
    ours, theirs = pty.openpty()
    ended = subprocess.run(
        [*COMMAND, *arguments],
        cwd=terminal.folder,
        env={**terminal.environment, "TERM": "xterm", "COLUMNS": "100"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        timeout=PATIENCE_S,
        check=False,
    )
    os.close(theirs)
    text = b""
    try:
        while part := os.read(ours, 65_536):
            text += part
    except OSError:
        pass  # Linux tells the end of a terminal so.
    finally:
        os.close(ours)
    assert ended.returncode == 0, text
    return text.decode()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["verify"], "Recomputing stock"),
        (["migrate"], "Migrating"),
        (["export", "products", "--output", "goods.csv"], "Exporting products"),
        (["backup", "copy.db"], "Copying"),
    ],
    ids=["verify", "migrate", "export", "backup"],
)
def test_who_waits_is_told_for_what(tmp_path: Path, arguments: list[str], told: str) -> None:
    """In a large shop each takes longer than anybody trusts a silent command."""
    terminal = Terminal(tmp_path)
    terminal.ok("init")
    (tmp_path / "one.csv").write_text("sku,name,price,currency\nMUG,A mug,1.00,GBP\n")
    terminal.ok("import", "products", "one.csv")
    assert told in seen(terminal, *arguments)
