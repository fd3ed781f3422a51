"""Check params.yaml, or print its JSON Schema."""

import argparse
import json
from pathlib import Path

from pipeline.params.load import load_params
from pipeline.params.sections import Params
from pipeline.terminal import run_main


def schema() -> str:
    """The JSON Schema of params.yaml, as the text of params.schema.json."""
    return json.dumps(Params.model_json_schema(by_alias=True), indent=2) + "\n"


def main(prog: str = "python -m pipeline.params") -> None:
    parser = argparse.ArgumentParser(prog=prog, description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, default=Path("params.yaml"), help="default: params.yaml")
    parser.add_argument("--schema", action="store_true", help="print the JSON Schema instead")
    arguments = parser.parse_args()
    if arguments.schema:
        print(schema(), end="")
        return
    load_params(arguments.file)
    print(f"{arguments.file}: every rule holds")


if __name__ == "__main__":
    run_main(main)
