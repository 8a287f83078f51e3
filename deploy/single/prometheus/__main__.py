"""`python -m deploy.single.prometheus > alerts.yml`: the rules, as they are to be committed."""

from __future__ import annotations

import argparse
import sys

from deploy.single.prometheus.alerts import rules

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m deploy.single.prometheus")
    parser.add_argument("--docs", default="docs", help="where the documents are, for links")
    sys.stdout.write(rules(parser.parse_args().docs.rstrip("/")))
