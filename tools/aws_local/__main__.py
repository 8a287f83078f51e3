"""`python -m tools.aws_local`: what `make run-aws-local` runs, and ways to look at what it runs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tools.aws_local import look, run
from tools.engines.launch import FOLDER


def main() -> int:
    parser = argparse.ArgumentParser(prog="tools.aws_local", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    serving = commands.add_parser(
        "run",
        help="start the engines and the shop, until Ctrl-C",
        epilog="Whatever else is given goes to `storekeeper serve`, such as --workers 2.",
    )
    serving.add_argument(
        "--port", type=int, default=0, metavar="N", help="the shop's port; any free one by default"
    )
    serving.add_argument(
        "--engines",
        type=Path,
        default=FOLDER,
        metavar="FOLDER",
        help="where the engines are kept; build/engines by default",
    )
    looking = commands.add_parser("look", help="look at what the shop wrote there")
    looking.add_argument("run", type=Path, metavar="RUN", help="the folder that `run` has named")
    looking.add_argument("what", choices=sorted(look.WAYS))
    options, others = parser.parse_known_args()
    if options.command == "run":
        return run.serve(options.port, options.engines, others)
    if others:
        parser.error(f"unrecognized arguments: {' '.join(others)}")
    return look.show(options.run, options.what)


if __name__ == "__main__":
    sys.exit(main())
