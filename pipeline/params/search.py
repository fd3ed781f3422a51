"""The section `search` of params.yaml."""

import re
from typing import Annotated, Literal, NamedTuple, Self, get_args

from pydantic import Field, field_validator, model_validator

from pipeline.params.addresses import has_password, hide_password
from pipeline.params.base import Cost, Epochs, NonNegativeInt, Parallel, PositiveFloat, Rate, Section
from pipeline.params.space import SpaceParams

# Objectives that are metrics of an epoch. Trials are pruned by the first objective, which must be one of them.
Quality = Literal["val_accuracy", "val_loss", "val_macro_f1", "val_balanced_accuracy"]
QUALITIES: tuple[Quality, ...] = get_args(Quality)
Objective = Literal["val_accuracy", "val_loss", "val_macro_f1", "val_balanced_accuracy", "params", "macs", "latency_ms"]
Direction = Literal["minimize", "maximize"]
# The objectives of a study, with the direction in which Optuna optimizes them.
OBJECTIVES: dict[Objective, Direction] = {
    "val_accuracy": "maximize",
    "val_loss": "minimize",
    "val_macro_f1": "maximize",
    "val_balanced_accuracy": "maximize",
    "params": "minimize",
    "macs": "minimize",
    "latency_ms": "minimize",
}


class SamplerTraits(NamedTuple):
    """Properties of an Optuna sampler.

    Attributes:
        startup: Whether it models trials, and so has start-up trials.
        several_objectives: Whether it supports several objectives.
        library: An optional dependency of Optuna that it needs.
    """

    startup: bool = False
    several_objectives: bool = False
    library: str | None = None


Sampler = Literal["tpe", "random", "gp", "cmaes", "nsga2", "grid", "qmc"]
# The samplers of a study. search/study/sampler.py creates them.
SAMPLERS: dict[Sampler, SamplerTraits] = {
    "tpe": SamplerTraits(startup=True, several_objectives=True),
    "random": SamplerTraits(several_objectives=True),
    "gp": SamplerTraits(startup=True, several_objectives=True, library="torch"),
    "cmaes": SamplerTraits(startup=True, library="cmaes"),
    "nsga2": SamplerTraits(startup=True, several_objectives=True),
    "qmc": SamplerTraits(several_objectives=True),
    "grid": SamplerTraits(several_objectives=True),
}

# Keys about execution and fault tolerance. Neither the trials nor the outputs of a study depend on them.
WITHOUT_EFFECT = frozenset(
    {"engine", "workers", "ray", "storage", "rung_timeout_minutes", "max_retries", "max_failures", "keep_checkpoints"}
)


class BudgetParams(Section):
    """Upper limits on the cost of a candidate."""

    max_params: Cost | None = Field(description="Maximum number of parameters, trainable or not; null: no limit.")
    max_macs: Cost | None = Field(description="Maximum number of multiply-accumulates per image; null: no limit.")
    max_activation_mb: Annotated[float, Field(ge=1e-6, le=1e9)] | None = Field(
        description="Maximum size of all layer outputs for one image, in MiB of float32; null: no limit."
    )
    max_latency_ms: Annotated[float, Field(ge=1e-6, le=1e9)] | None = Field(
        description="Maximum median latency for one image in ms, measured where rungs run; null: no limit."
    )


class FinalistsParams(Section):
    """The best trials, which are trained again before the winner is chosen."""

    count: Annotated[int, Field(ge=0, le=1000)] = Field(
        description="Number of finalists in addition to the baseline; 0: none."
    )
    seeds: Annotated[int, Field(ge=1, le=1000)] = Field(
        description="Number of further training runs of each finalist, with other seeds; their mean decides."
    )
    cross_validation: bool = Field(
        description="Whether each of these training runs also uses another fold of the images."
    )


class RayParams(Section):
    """The Ray cluster, and the resources of each worker."""

    address: str | None = Field(description="Address of the cluster to join, or auto; null: start Ray on this machine.")
    cpus: Annotated[float, Field(gt=0.0, le=10_000.0)] = Field(description="CPUs that Ray reserves for each worker.")
    gpus: Annotated[float, Field(ge=0.0, le=10_000.0)] = Field(
        description="GPUs that Ray reserves for each worker; a fraction shares one GPU."
    )
    memory_gb: PositiveFloat | None = Field(description="Memory that Ray reserves for each worker, in GiB; null: none.")


class SearchParams(Section):
    """Settings of the study."""

    trials: Annotated[int, Field(ge=1, le=1_000_000)] = Field(description="Number of trials; trial 0 is the baseline.")
    timeout_hours: PositiveFloat | None = Field(
        description="Start no trial after this many hours of a run; null: no limit. The next run resumes."
    )
    epochs: Epochs = Field(description="Epochs of a trial that is not pruned (last rung).")
    min_epochs: Epochs = Field(description="Minimum epochs of the first rung.")
    min_steps: NonNegativeInt = Field(
        description="Minimum optimizer steps of the first rung (more epochs if few images); 0: no minimum."
    )
    reduction_factor: Annotated[int, Field(ge=2, le=1000)] = Field(
        description="Factor by which epochs or images (see fidelity) grow from one rung to the next."
    )
    fidelity: Literal["epochs", "data", "both"] = Field(
        description="What grows from rung to rung: epochs, data (fraction of the training images) or both."
    )
    objectives: Annotated[tuple[Objective, ...], Field(min_length=1, max_length=10)] = Field(
        description="Objectives of the study. Trials are pruned by the first one: val_accuracy | val_loss | "
        "val_macro_f1 | val_balanced_accuracy. Further ones, which may also be params | macs | latency_ms, lead to a "
        "Pareto front."
    )
    choose: Literal["best", "cheapest"] = Field(
        description="Winner: best by the first objective, or cheapest within `tolerance` of the best."
    )
    tolerance: Rate = Field(
        description="Maximum difference from the best in the first objective, for choose: cheapest."
    )
    finalists: FinalistsParams = Field(description=FinalistsParams.__doc__)
    sampler: Sampler = Field(description="Optuna sampler.")
    startup_trials: NonNegativeInt = Field(
        description="Trials drawn before tpe, gp or cmaes builds a model; for nsga2, the population size."
    )
    startup: Literal["near_best", "random"] = Field(
        description="Start-up trials: near_best (redraw about four values of the best trial so far) or random."
    )
    pruner: Literal["hyperband", "successive_halving", "median", "none"] = Field(description="Optuna pruner.")
    cost_aware: bool = Field(
        description="Postpone a candidate until the study has spent as much as its first rung costs."
    )
    enqueue: tuple[str, ...] = Field(
        max_length=1000, description="Architecture files to try directly after the baseline."
    )
    concurrency: Annotated[int, Field(ge=1, le=10_000)] = Field(
        description="Number of trials in progress at once, regardless of the number of workers."
    )
    synchronous: bool = Field(
        description="Make decisions in an order that does not depend on the speed of the workers."
    )
    engine: Literal["inline", "processes", "ray"] = Field(
        description="Where rungs run: processes (on this machine), ray (on Ray workers) or inline (in the stage)."
    )
    workers: Parallel = Field(description="Number of workers of the engine; must be 1 with engine: inline.")
    ray: RayParams = Field(description=RayParams.__doc__)
    rung_timeout_minutes: PositiveFloat | None = Field(
        description="Cancel a rung that takes longer than this; null: no limit."
    )
    max_retries: NonNegativeInt = Field(description="Maximum number of retries of a rung whose worker was lost.")
    max_failures: NonNegativeInt = Field(description="Stop the study if more trials than this have failed.")
    keep_checkpoints: NonNegativeInt = Field(
        description="Number of best trials whose training state is kept after the study."
    )
    storage: str = Field(description="Database URL of the Optuna storage, without a password.")
    budget: BudgetParams = Field(description="Upper limits on the cost of a candidate.")
    space: SpaceParams = Field(
        description="For each key a value, list or {low, high, step|log}; omitted keys: as in model, training."
    )

    @field_validator("storage")
    @classmethod
    def _database_address(cls, storage: str) -> str:
        shown = hide_password(storage)
        if re.fullmatch(r"[a-z0-9+]+://.*", storage) is None:
            raise ValueError(f"must be a database URL, got {shown!r}; write, for example, sqlite:///studies/optuna.db")
        if storage in ("sqlite://", "sqlite:///", "sqlite:///:memory:"):
            raise ValueError(
                f"must be stored in a file, so that an interrupted study can be resumed, got {storage!r}; "
                "write sqlite:///studies/optuna.db"
            )
        if has_password(storage):
            raise ValueError(
                f"must not contain a password, since Git tracks this file, got {shown!r}; put the password into "
                "PGPASSWORD or ~/.pgpass, or the whole URL into the environment variable FOVEA_STORAGE"
            )
        return storage

    @field_validator("objectives")
    @classmethod
    def _first_objective_can_prune(cls, objectives: tuple[Objective, ...]) -> tuple[Objective, ...]:
        if len(set(objectives)) < len(objectives):
            raise ValueError(f"must not contain duplicates, got {list(objectives)}; remove them")
        if objectives[0] not in QUALITIES:
            raise ValueError(
                f"the first objective must be one of {', '.join(QUALITIES)}, since trials are pruned by it, "
                f"got {objectives[0]!r}; reorder them, or add one of these first"
            )
        return objectives

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        if self.trials <= len(self.enqueue):
            raise ValueError(
                f"trials must be at least {1 + len(self.enqueue)}, for the baseline and the files in enqueue, "
                f"got {self.trials}; raise trials, or remove files from enqueue"
            )
        if self.min_epochs > self.epochs:
            raise ValueError(
                f"min_epochs must not exceed epochs, got min_epochs: {self.min_epochs}, epochs: {self.epochs}; "
                "lower min_epochs, or raise epochs"
            )
        if self.engine == "inline" and self.workers > 1:
            raise ValueError(f"workers must be 1 with engine: inline, got {self.workers}; use engine: processes")
        if len(self.objectives) > 1 and not SAMPLERS[self.sampler].several_objectives:
            others = ", ".join(name for name, traits in SAMPLERS.items() if traits.several_objectives)
            raise ValueError(
                f"sampler: {self.sampler} supports only one objective, got {list(self.objectives)}; use one of {others}"
            )
        return self

    @property
    def starts_near_best(self) -> bool:
        """Whether start-up trials reuse values of the best trial."""
        return self.startup == "near_best" and SAMPLERS[self.sampler].startup

    @property
    def measures_latency(self) -> bool:
        """Whether the latency of each candidate must be measured."""
        return self.budget.max_latency_ms is not None or "latency_ms" in self.objectives
