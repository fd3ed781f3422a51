"""Check params.yaml, or print its JSON Schema.

It stands beside the package `params`, since pydantic is imported with any module of that, and help needs none of it.
"""

import argparse
import json
from pathlib import Path


def schema() -> str:
    """The JSON Schema of params.yaml, as the text of params.schema.json."""
    from pipeline.params.sections import Params

    return json.dumps(Params.model_json_schema(by_alias=True), indent=2) + "\n"


def main(prog: str) -> None:
    """Check the file that the command line names, or print the schema."""
    parser = argparse.ArgumentParser(prog=prog, description="Check params.yaml, or print its JSON Schema.")
    parser.add_argument("file", nargs="?", type=Path, default=Path("params.yaml"), help="default: params.yaml")
    parser.add_argument("--schema", action="store_true", help="print the JSON Schema instead")
    arguments = parser.parse_args()
    if arguments.schema:
        print(schema(), end="")
        return
    from pipeline.params_file import load_params

    load_params(arguments.file)
    print(f"{arguments.file}: every rule holds")
