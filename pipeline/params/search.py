"""The section `search` of params.yaml."""

import re
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from pipeline.params.addresses import has_password, hide_password
from pipeline.params.base import NonNegativeInt, PositiveFloat, PositiveInt, Rate, Section
from pipeline.params.space import SpaceParams

# Metrics that a study can optimize. Trials are pruned by the first objective, which must be a Quality.
Quality = Literal["val_accuracy", "val_loss", "val_macro_f1"]
Objective = Literal["val_accuracy", "val_loss", "val_macro_f1", "params", "macs", "latency_ms"]
QUALITIES = ("val_accuracy", "val_loss", "val_macro_f1")
MODELLING = ("tpe", "gp", "cmaes", "nsga2")  # samplers that have start-up trials
SEVERAL_OBJECTIVES = ("tpe", "random", "gp", "nsga2", "qmc", "grid")

# Keys about execution and fault tolerance. Neither the trials nor the outputs of a study depend on them.
WITHOUT_EFFECT = frozenset(
    {"engine", "workers", "ray", "storage", "rung_timeout_minutes", "max_retries", "max_failures", "keep_checkpoints"}
)


class BudgetParams(Section):
    """Upper limits on the cost of a candidate."""

    max_params: PositiveInt | None = Field(description="Trainable and other weights; null: any.")
    max_macs: PositiveInt | None = Field(description="Multiply-accumulates per image; null: any.")
    max_activation_mb: PositiveFloat | None = Field(
        description="Float32 outputs of all layers for one image, in MiB; null: any."
    )
    max_latency_ms: PositiveFloat | None = Field(
        description="Median time to classify one image, measured where the rungs run, in milliseconds; null: any."
    )


class RayParams(Section):
    """The Ray cluster, and the resources of each worker."""

    address: str | None = Field(description="The cluster to join, or auto; null: start Ray on this machine.")
    cpus: PositiveFloat = Field(description="Processors that Ray sets aside for each worker.")
    gpus: Annotated[float, Field(ge=0.0)] = Field(description="GPUs for each worker; a fraction shares one.")
    memory_gb: PositiveFloat | None = Field(description="Memory that Ray sets aside for each worker; null: none.")


class SearchParams(Section):
    """Settings of the study."""

    trials: PositiveInt = Field(description="Candidates tried; trial 0 is the baseline.")
    timeout_hours: PositiveFloat | None = Field(
        description="No candidate starts after a run has taken so many hours; null: any time. The next run goes on."
    )
    epochs: PositiveInt = Field(description="Epochs of a trial that is never pruned: the last rung.")
    min_epochs: PositiveInt = Field(description="Epochs of the first rung, at least.")
    min_steps: NonNegativeInt = Field(
        description="Optimizer steps of the first rung, at least: on few images it gets more epochs; 0: any."
    )
    reduction_factor: Annotated[int, Field(ge=2)] = Field(description="Each rung has so many times the epochs before.")
    fidelity: Literal["epochs", "data", "both"] = Field(
        description="What grows from rung to rung: the epochs, the share of the training images, or both."
    )
    objectives: Annotated[tuple[Objective, ...], Field(min_length=1)] = Field(
        description="What the study optimises; several give a Pareto front, the first one decides on pruning."
    )
    choose: Literal["best", "cheapest"] = Field(
        description="The winner: best by the first objective, or the cheapest within `tolerance` of it."
    )
    tolerance: Rate = Field(description="How much worse than the best the cheapest may be, as a difference.")
    sampler: Literal["tpe", "random", "gp", "cmaes", "nsga2", "grid", "qmc"] = Field(description="Optuna's sampler.")
    startup_trials: NonNegativeInt = Field(description="Trials drawn before tpe, gp, cmaes or nsga2 model them.")
    startup: Literal["near_best", "random"] = Field(
        description="How these are drawn: near_best redraws about four values of the best trial so far, random all."
    )
    pruner: Literal["hyperband", "successive_halving", "median", "none"] = Field(description="Optuna's pruner.")
    cost_aware: bool = Field(
        description="Let expensive candidates wait until the study has spent as much as they cost."
    )
    enqueue: tuple[str, ...] = Field(description="Architecture files to try right after the baseline.")
    concurrency: PositiveInt = Field(description="Candidates in training at once, by however many workers.")
    synchronous: bool = Field(description="Decide in an order that does not depend on the workers' speed.")
    engine: Literal["inline", "ray"] = Field(description="Where rungs run: in this process, or on Ray's workers.")
    workers: PositiveInt = Field(description="Workers of the engine; inline has one.")
    ray: RayParams = Field(description=RayParams.__doc__)
    rung_timeout_minutes: PositiveFloat | None = Field(
        description="A rung that takes longer is cancelled; null: any time."
    )
    max_retries: NonNegativeInt = Field(description="How often a rung is tried again whose worker was lost.")
    max_failures: NonNegativeInt = Field(description="Stop the study after more failed trials than this.")
    keep_checkpoints: NonNegativeInt = Field(description="States kept of the best trials when the study is over.")
    storage: str = Field(description="Optuna's storage, a database address.")
    budget: BudgetParams = Field(description="What a candidate may cost at most.")
    space: SpaceParams = Field(description="What is drawn: for each key a value, a list, or {low, high, step|log}.")

    @field_validator("storage")
    @classmethod
    def _database_address(cls, storage: str) -> str:
        shown = hide_password(storage)
        if re.fullmatch(r"[a-z0-9+]+://.*", storage) is None:
            raise ValueError(f"must be a database address such as sqlite:///studies/optuna.db, got {shown!r}")
        if storage in ("sqlite://", "sqlite:///", "sqlite:///:memory:"):
            raise ValueError("must outlive the process, so that a killed study can go on; name a file")
        if has_password(storage):
            raise ValueError(
                f"must hold no password, since this file is tracked, got {shown!r}; put the password into PGPASSWORD "
                "or ~/.pgpass, or the whole address into the environment variable FOVEA_STORAGE"
            )
        return storage

    @field_validator("objectives")
    @classmethod
    def _first_objective_can_prune(cls, objectives: tuple[Objective, ...]) -> tuple[Objective, ...]:
        if len(set(objectives)) < len(objectives):
            raise ValueError(f"objectives must differ, got {list(objectives)}")
        if objectives[0] not in QUALITIES:
            raise ValueError(
                f"the first objective must be one of {', '.join(QUALITIES)}, since trials are pruned by it, "
                f"got {objectives[0]!r}"
            )
        return objectives

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        if self.trials <= len(self.enqueue):
            raise ValueError(
                f"trials must leave room for the baseline and the enqueued files, {1 + len(self.enqueue)} in all, "
                f"got {self.trials}"
            )
        if self.min_epochs > self.epochs:
            raise ValueError(f"min_epochs must not be above epochs, got {self.min_epochs} and {self.epochs}")
        if self.engine == "inline" and self.workers > 1:
            raise ValueError(f"engine: inline has one worker, got workers: {self.workers}; use engine: ray for more")
        if len(self.objectives) > 1 and self.sampler not in SEVERAL_OBJECTIVES:
            raise ValueError(
                f"sampler: {self.sampler} knows one objective only, got {list(self.objectives)}; "
                f"use one of {', '.join(SEVERAL_OBJECTIVES)}"
            )
        return self

    @property
    def starts_near_best(self) -> bool:
        """Whether start-up trials reuse values of the best trial."""
        return self.startup == "near_best" and self.sampler in MODELLING

    @property
    def measures_latency(self) -> bool:
        """Whether the latency of each candidate must be measured."""
        return self.budget.max_latency_ms is not None or "latency_ms" in self.objectives
