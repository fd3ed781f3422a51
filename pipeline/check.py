"""The stage `check`: reject an invalid params.yaml before DVC removes the outputs of any other stage.

DVC removes the outputs of a stage before the stage can validate its parameters. This stage therefore runs first:
`prepare`, the first of the other stages, depends on its output. The output never changes, so it never causes another
stage to rerun.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import UserError
from pipeline.files import write_file
from pipeline.machine.device import gpu_handles
from pipeline.terminal.arguments import params_and_paths, stage_parser
from pipeline.terminal.console import run_main

if TYPE_CHECKING:
    from pipeline.params.model import BackboneParams
    from pipeline.sections import Params

VALID = "params.yaml: valid\n"


@dataclass(frozen=True)
class Paths:
    """Output paths of the stage.

    Attributes:
        report: The only output; its content never changes.
    """

    report: Path = Path("reports/check.txt")


def run(params: "Params", paths: Paths = Paths()) -> None:
    """Write the report.

    Args:
        params: The parameters. They were validated when they were loaded.
        paths: Output paths.

    Raises:
        UserError: This machine has fewer GPUs than `training.gpus`, or `model.backbone` does not fit the source, or its
            file of weights is missing.
    """
    if params.model.backbone is not None:
        _check_backbone(params.model.backbone, params.data.source)
    found = gpu_handles() if params.training.gpus > 1 else None
    gpus = len(found[1]) if found else 0
    if params.training.gpus > max(1, gpus):
        raise UserError(
            f"training.gpus: must not exceed the number of GPUs of this machine, got {params.training.gpus}, found "
            f"{gpus}; lower it"
        )
    write_file(paths.report, VALID)


def _check_backbone(backbone: "BackboneParams", source: str) -> None:
    from pipeline.backbones.backbone import Backbone

    if source.partition(":")[0] in ("ts", "series", "audio", "volumes"):
        raise UserError(f"model.backbone: {backbone.name} requires images, got {source}; set it to null")
    Backbone.from_params(backbone)


def main(prog: str = "python -m pipeline.check") -> None:
    """Check the params file given on the command line."""
    parser = stage_parser(prog, "Check params.yaml before any other stage runs.", Paths())
    run(*params_and_paths(parser.parse_args(), Paths()))


if __name__ == "__main__":
    run_main(main)
