"""`harness schema`: the JSON Schema of scenarios or profiles, for editors."""

from __future__ import annotations

import argparse
import json

from harness.errors import Exit
from harness.schema import profile_schema, scenario_schema

SCHEMAS = {"scenario": scenario_schema, "profile": profile_schema}


def add(parser: argparse.ArgumentParser) -> None:
    """Its arguments."""
    parser.add_argument("of", nargs="?", choices=SCHEMAS, default="scenario", help="of which files")


def main(arguments: argparse.Namespace) -> int:
    """Prints the schema."""
    print(json.dumps(SCHEMAS[arguments.of](), indent=2, ensure_ascii=False))
    return Exit.PASSED
