"""Read params.yaml."""

from pathlib import Path

from pipeline.params_file import read_yaml, validate
from pipeline.sections.params import Params


def load_params(path: Path) -> Params:
    """Read and validate a complete params.yaml.

    Raises:
        ParamsError: A rule is violated; all violations are listed.
    """
    return validate(Params, read_yaml(path), path)
