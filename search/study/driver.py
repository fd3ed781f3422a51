"""The driver of a study: it asks for trials, submits their rungs, reports and prunes them, and tells the results."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import optuna

from search.space.draw import propose
from search.space.feasibility import check_feasibility, too_slow
from search.study.checkpoints import RungCheckpoints
from search.study.config import StudyConfig
from search.study.job import Engine, Job, RungResult
from search.study.prunable import PrunableStudy
from search.study.results import COST, PASSED, PROPOSAL, STARTED, TRAINED, TrialResult, candidate_from_attrs, ranked
from search.study.rungs import shares
from search.study.tally import StudyTally
from search.study.trial_finisher import ActiveTrial, TrialFinisher


class Driver:
    """Runs a study until `settings.trials` candidates have been tried. Only the driver writes the study's storage.

    The rungs of a trial take nominal time (see `search.study.rungs`). In a synchronous study, their results are
    recorded in the order of nominal time. So results depend only on the arguments, not on the number or speed of
    workers.

    Args:
        config: The constants of the study.
        studies: The study and its pruning study, new or with the trials of an earlier process.
        engine: The engine that runs the rungs.
        checkpoints: The stored training states of the rungs.
        cached_results: Results of studies that differ only in their number of trials, by trial number and candidate
            digest. Their epochs are not trained again.
        on_wait: Called with a description of the current training whenever the driver has to wait for it.
    """

    def __init__(
        self,
        config: StudyConfig,
        studies: PrunableStudy,
        engine: Engine,
        checkpoints: RungCheckpoints,
        cached_results: Mapping[tuple[int, str], RungResult],
        on_wait: Callable[[str], None] = lambda words: None,
    ) -> None:
        self._config = config
        self._settings = settings = config.settings
        self._rungs = config.rungs
        self._studies = studies
        self._engine = engine
        self._checkpoints = checkpoints
        self._tally = StudyTally(config)
        self._finisher = TrialFinisher(config, studies, self._tally)
        self._nearest = [each.nearest for each in config.first_trials]
        self._cached_results = cached_results
        self._on_wait = on_wait
        self._known: dict[int, RungResult] = {}  # results that need no engine, by trial number
        # With more waiting candidates, too many would be drawn before the sampler has results to learn from.
        blind = 0 if settings.starts_near_best else settings.startup_trials
        self._most_waiting = max(settings.concurrency, blind)
        self._active: dict[int, ActiveTrial] = {}
        self._last_start = (
            math.inf if settings.timeout_hours is None else time.monotonic() + 3600 * settings.timeout_hours
        )
        for trial, reported in studies.recalled():
            self._tally.recall(trial, reported)

    @property
    def counted(self) -> int:
        """Number of finished trials that count against `search.trials`."""
        return self._tally.counted

    def ended(self) -> tuple[TrialResult, ...]:
        """Return the finished trials, in order."""
        return self._tally.ended()

    def run(self) -> Iterator[TrialResult]:
        """Run until enough candidates have been tried or the time is up, and yield each trial as it ends.

        Raises:
            UserError: More than `max_failures` trials failed, or too many consecutive draws did not fit.
        """
        self._delete_old_checkpoints()
        self._tally.check()
        if self._tally.counted >= self._settings.trials:
            return
        for trial in self._studies.left_running():
            yield from self._begin(trial)
        while True:
            yield from self._fill()
            running = self._running()
            if not running:
                return
            number, outcome = self._wait(running)
            yield from self._take(number, self._active[number], outcome)

    def _running(self) -> list[int]:
        return [number for number, each in self._active.items() if each.started is not None]

    def _wait(self, running: Sequence[int]) -> tuple[int, RungResult]:
        """Return the next result to enter: in a synchronous study the one due first, else the first available."""
        due = min(running, key=lambda number: (self._due(self._active[number], 1), number))
        if not self._settings.synchronous and due not in self._known:
            due = next(iter(self._known), -1)
        if due in self._known:
            return due, self._known.pop(due)
        self._on_wait(self._in_training([due] if self._settings.synchronous else running))
        return self._engine.wait(due if self._settings.synchronous else None)

    def _in_training(self, numbers: Sequence[int]) -> str:
        if len(numbers) > 1:
            return f"trials {', '.join(map(str, numbers))}"
        done = self._active[numbers[0]].done
        first = self._rungs[done - 1].epoch + 1 if done else 1
        return f"trial {numbers[0]}, epochs {first} to {self._rungs[done].epoch} of {self._rungs[-1].epoch}"

    def _fill(self) -> Iterator[TrialResult]:
        """Start candidates until `concurrency` are in training or the time is up. The baseline always starts."""
        while len(running := self._running()) < self._settings.concurrency:
            if time.monotonic() > self._last_start and (running or self._tally.results):
                return
            waiting = [each for each in self._active.values() if each.started is None and each.original is None]
            cheapest = min(waiting, key=lambda each: (each.first_rung_cost, each.trial.number), default=None)
            more = self._tally.counted + len(self._active) < self._settings.trials
            if cheapest is not None and (
                not more or len(waiting) >= self._most_waiting or self._is_affordable(cheapest)
            ):
                cheapest.started = self._tally.clock
                cheapest.trial.set_user_attr(STARTED, {"nominal": self._tally.clock, "clock": time.time()})
                self._submit(cheapest)
            elif more:
                yield from self._begin(self._studies.ask(self._nearest, self._draw))
            else:
                return

    def _is_affordable(self, active: ActiveTrial) -> bool:
        """Return whether a candidate's first rung costs at most what the study has spent on training so far."""
        known = active.trial.number < len(self._config.first_trials)
        return known or not self._settings.cost_aware or active.first_rung_cost <= self._tally.spent

    def _draw(self, trial: optuna.Trial) -> dict[str, Any]:
        """Draw the candidate of a trial, and return the user attributes to store in the trial."""
        config = self._config
        # Also for the first trials, because Optuna learns only from values of the space.
        candidate = propose(trial, self._settings.space, config.model, config.input_shape, config.classes)
        if trial.number < len(config.first_trials):
            candidate = config.first_trials[trial.number].candidate
        cost = check_feasibility(candidate, self._settings.budget).cost
        return {PROPOSAL: candidate.model_dump(mode="json"), COST: cost}

    def _begin(self, trial: optuna.Trial) -> Iterator[TrialResult]:
        """Register a trial, new or left by an earlier process, and yield it if it ends immediately."""
        number, attributes = trial.number, trial.user_attrs
        candidate, cost = candidate_from_attrs(attributes[PROPOSAL]), attributes[COST]
        verdict = check_feasibility(candidate, self._settings.budget, self._config.kind)
        pruning_trial = self._studies.pruning_trial(trial)
        first_rung_cost = 0.0 if verdict.violations else self._tally.nominal(cost, 0, 1)
        started = attributes.get(STARTED, {}).get("nominal")
        active = ActiveTrial(trial, pruning_trial, candidate, cost, first_rung_cost, started=started)
        if verdict.violations:
            self._finisher.reject(active, verdict)
            yield from self._end(active)
            return
        original = self._tally.first_like(candidate, number)
        if original != number:
            if original in self._tally.results:
                yield from self._reuse(active, self._tally.results[original])
                return
            active.original = original
        self._active[number] = active
        if active.started is not None:
            yield from self._resume(active)

    def _resume(self, active: ActiveTrial) -> Iterator[TrialResult]:
        """Continue a trial that an earlier process started."""
        number = active.trial.number
        frozen = self._studies.frozen(number)
        reported = max(frozen.intermediate_values, default=0)
        active.done = sum(rung.resource <= reported for rung in self._rungs)
        if active.done:
            decided = active.trial.user_attrs.get(PASSED) == reported
            if not decided and self._finisher.after_rung(active, left=frozen):
                yield from self._end(active)
                return
            active.seconds = active.trial.user_attrs[TRAINED]["seconds"]
            active.state = self._checkpoints.read(number, reported)
        self._submit(active)

    def _submit(self, active: ActiveTrial) -> None:
        number, first, until = active.trial.number, active.done == 0, self._rungs[active.done].epoch
        cached = self._cached_results.get((number, active.candidate.digest), RungResult())
        if len(cached.history) >= until and not (first and self._settings.measures_latency):
            self._known[number] = replace(cached, history=cached.history[:until])
            return
        job = Job(
            architecture=active.candidate.architecture,
            training=active.candidate.overlay(self._config.training),
            seed=int(np.random.SeedSequence([self._config.seed, number, 1]).generate_state(1)[0]),
            shares=shares(self._rungs),
            until=until,
            state=active.state or None,
            measure_latency=first and self._settings.measures_latency,
            max_latency_ms=self._settings.budget.max_latency_ms,
        )
        self._engine.submit(number, job)

    def _take(self, number: int, active: ActiveTrial, outcome: RungResult) -> Iterator[TrialResult]:
        """Enter the result of a rung into the study, and yield the trial if it is finished."""
        if outcome.failure == "worker_lost" and active.retries < self._settings.max_retries:
            active.retries += 1
            self._submit(active)
            return
        trial = active.trial
        active.seconds += outcome.seconds
        self._tally.clock = max(self._tally.clock, self._due(active, 1))
        if outcome.latency_ms is not None:
            active.cost = active.cost | {"latency_ms": outcome.latency_ms}
            trial.set_user_attr(COST, active.cost)
        if outcome.failure is not None:
            self._finisher.fail(active, f"{outcome.failure}: {outcome.detail}")
        elif not outcome.history:
            self._finisher.reject(active, too_slow(active.cost, self._settings.budget, self._config.kind))
        else:
            rung = self._rungs[active.done]
            self._tally.spent += self._tally.nominal(active.cost, active.done, active.done + 1)
            active.done, active.state, active.retries = active.done + 1, outcome.state, 0
            if outcome.state and active.done < len(self._rungs):
                self._checkpoints.write(number, rung.resource, outcome.state)
            trained = {"epochs": list(outcome.history), "seconds": active.seconds}
            trial.set_user_attr(TRAINED, trained | {"compute_dtype": outcome.compute_dtype})
            active.pruning_trial.report(outcome.history[-1][self._settings.objectives[0]], rung.resource)
            if active.done < len(self._rungs):  # the state before this one is kept, should this one be damaged
                self._checkpoints.remove_before(number, self._rungs[max(active.done - 2, 0)].resource)
            else:
                self._checkpoints.remove({number})
            if not self._finisher.after_rung(active):
                self._submit(active)
                return
        yield from self._end(active)

    def _end(self, active: ActiveTrial) -> Iterator[TrialResult]:
        """Clean up a finished trial, and handle the trials that waited for its result."""
        number = active.trial.number
        self._active.pop(number, None)
        result = self._tally.results[number]
        if result.state != "complete":
            self._checkpoints.remove({number})
        else:
            if active.state and self._settings.keep_checkpoints:
                self._checkpoints.write(number, self._rungs[-1].resource, active.state)
            self._delete_old_checkpoints()
        yield result
        duplicates = [
            self._active[duplicate] for duplicate in sorted(self._active) if self._active[duplicate].original == number
        ]
        for duplicate in duplicates:
            if result.state != "failed":
                yield from self._reuse(duplicate, result)
            else:  # there is no result to share, so the first of them is trained
                first = self._tally.first_like(active.candidate, duplicate.trial.number)
                duplicate.original = None if first == duplicate.trial.number else first
        self._tally.check()

    def _delete_old_checkpoints(self) -> None:
        """Delete all states except those of trials in training and the last one of the best completed trials."""
        best = ranked(self._tally.results.values(), self._settings.objectives[0])[: self._settings.keep_checkpoints]
        ended = set(self._tally.results) - {result.number for result in best}
        self._checkpoints.remove(ended)

    def _reuse(self, active: ActiveTrial, original: TrialResult) -> Iterator[TrialResult]:
        self._finisher.reuse(active, original)
        yield from self._end(active)

    def _due(self, active: ActiveTrial, more: int) -> float:
        """Return the nominal time at which a started trial finishes `more` further rungs."""
        return (active.started or 0.0) + self._tally.nominal(active.cost, 0, active.done + more)
