"""Check params.yaml, or print its JSON Schema.

This module is not part of the package `pipeline.params`, since that package imports pydantic, which the help text does
not need.
"""

import argparse
import json
from pathlib import Path


def schema() -> str:
    """Return the JSON Schema of params.yaml, which is the content of params.schema.json."""
    from pipeline.sections import Params

    return json.dumps(Params.model_json_schema(by_alias=True), indent=2) + "\n"


def main(prog: str) -> None:
    """Check the file given on the command line, or print the schema."""
    parser = argparse.ArgumentParser(prog=prog, description="Check params.yaml, or print its JSON Schema.")
    parser.add_argument("file", nargs="?", type=Path, default=Path("params.yaml"), help="default: params.yaml")
    parser.add_argument("--schema", action="store_true", help="print the JSON Schema instead")
    arguments = parser.parse_args()
    if arguments.schema:
        print(schema(), end="")
        return
    from pipeline.sections.load import load_params

    load_params(arguments.file)
    print(f"{arguments.file}: valid")
