"""The command line: reads flags, calls services, shows what came of it; decides nothing itself."""

from __future__ import annotations

import gc
import sys


def main() -> None:
    """Runs a command and ends the process with its exit code (see `storekeeper --help`)."""
    # Else the collector walks over what is being imported, of which nothing is garbage.
    gc.set_threshold(20_000, 20, 20)
    from storekeeper.cli.console import explain_and_exit

    try:
        from storekeeper.cli.commands import app

        app(prog_name="storekeeper")
    except SystemExit as end:
        if end.code == 130:
            sys.stderr.write("stopped\n")
        raise
    except KeyboardInterrupt:
        sys.stderr.write("stopped\n")
        sys.exit(130)
    except Exception as error:
        explain_and_exit(error)
