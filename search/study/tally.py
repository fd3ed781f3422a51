"""Bookkeeping of a study: which trials finished, which of them count, and how much nominal time was spent."""

from optuna.trial import FrozenTrial

from pipeline.cnn.candidate import Candidate
from pipeline.errors import UserError, plural
from search.space.feasibility import nothing_fits
from search.study.config import StudyConfig
from search.study.results import STARTED, TRAINED, TrialResult, lost_attributes, read_trial
from search.study.rungs import nominal_seconds

# A study stops after this many consecutive infeasible draws.
MAX_INFEASIBLE_IN_A_ROW = 200


class StudyTally:
    """Running totals of the finished trials of a study.

    Args:
        config: The constants of the study.

    Attributes:
        results: The finished trials, by number.
        counted: Number of finished trials that count against `search.trials`.
        clock: Nominal time of the last rung that was recorded.
        spent: Nominal seconds of all rungs that were recorded.
    """

    def __init__(self, config: StudyConfig) -> None:
        self._config = config
        self.results: dict[int, TrialResult] = {}
        self.counted = 0
        self.clock = 0.0
        self.spent = 0.0
        self._failed: list[TrialResult] = []
        self._infeasible_in_a_row = 0
        self._slow_in_a_row = 0  # candidates whose measured latency was too high
        self._last_reason = ""  # reason of the last infeasible trial
        self._first: dict[str, int] = {}

    def recall(self, trial: FrozenTrial, reported: int) -> None:
        """Record a trial as an earlier process left it.

        Args:
            trial: The trial in the study's storage.
            reported: Resource of its last report, or 0 if there is none.

        Raises:
            UserError: The trial was reported, but its epochs are missing.
        """
        if reported and TRAINED not in trial.user_attrs:
            raise lost_attributes(trial, f"{TRAINED} is missing")
        result = read_trial(trial)
        if result is None:
            return
        if STARTED in trial.user_attrs:
            started = trial.user_attrs[STARTED]["nominal"]
            done = sum(rung.resource <= reported for rung in self._config.rungs)
            entered = done + (result.state in ("failed", "infeasible"))
            if entered:
                self.clock = max(self.clock, started + self.nominal(result.cost, 0, entered))
            self.spent += self.nominal(result.cost, 0, done)
        if result.state != "running":
            self.enter(result)

    def enter(self, result: TrialResult) -> None:
        """Record a finished trial."""
        self.results[result.number] = result
        self.counted += result.counts
        match result.state:
            case "infeasible":
                self._last_reason = result.reason
                if "latency_ms" in result.cost:
                    self._slow_in_a_row += 1
                    self._first.setdefault(result.candidate.training_digest(self._config.training), result.number)
                else:
                    self._infeasible_in_a_row += 1
            case "failed":
                self._failed.append(result)
                likeness = result.candidate.training_digest(self._config.training)
                if self._first.get(likeness) == result.number:
                    del self._first[likeness]
            case "complete" | "pruned":
                self._infeasible_in_a_row = self._slow_in_a_row = 0
                self._first.setdefault(result.candidate.training_digest(self._config.training), result.number)

    def first_like(self, candidate: Candidate, number: int) -> int:
        """Return the number of the first trial whose training is equal to that of a candidate.

        Args:
            candidate: The candidate of a trial. It fits its input and the budget by arithmetic.
            number: The number of that trial. It is returned if there is no such trial or if that trial failed.
        """
        self._infeasible_in_a_row = 0
        return self._first.setdefault(candidate.training_digest(self._config.training), number)

    def nominal(self, cost: dict[str, float], first: int, last: int) -> float:
        """Return the nominal seconds of a candidate's rungs from index `first` up to but not including `last`."""
        return nominal_seconds(self._config.rungs, self._config.images, cost["macs"], first, last)

    def ended(self) -> tuple[TrialResult, ...]:
        """Return the finished trials, in order."""
        return tuple(self.results[number] for number in sorted(self.results))

    def check(self) -> None:
        """Raise UserError if more than `max_failures` trials failed, or if too many consecutive draws did not fit."""
        most = self._config.settings.max_failures
        if len(self._failed) > most:
            failed = sorted(self._failed, key=lambda result: result.number)
            table = "\n".join(f"  trial {result.number}: {result.reason}" for result in failed)
            raise UserError(
                f"search.max_failures is {most}, but {len(failed)} {plural(len(failed), 'trial')} failed:\n{table}\n"
                "narrow search.space (a high learning_rate often causes divergence), or raise max_failures; if "
                "the machine was the cause, fix it and run `fovea search --retry-failed`"
            )
        in_a_row = max(self._infeasible_in_a_row, self._slow_in_a_row)
        if in_a_row >= MAX_INFEASIBLE_IN_A_ROW:
            raise UserError(nothing_fits(f"the last {in_a_row} draws", self._last_reason))
