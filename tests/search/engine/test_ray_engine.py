"""Studies on real Ray workers of this machine, with generated learning curves."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

import psutil
import pytest

from pipeline.data.dataset import write_dataset
from pipeline.data.split import write_split
from pipeline.data.training_data import TrainingData, read_training_data
from pipeline.errors import UserError
from pipeline.params import RayParams
from search.engine.ray_engine import RayEngine
from search.study.job import Job, RungResult
from tests.pipeline.training.trainings import PLAIN, figures, training
from tests.search.harness import StudyHarness
from tests.search.work import (
    Holder,
    broken,
    describe_images,
    die,
    die_once,
    exhaust_memory,
    finish,
    hang,
    inspect_worker,
    leak_memory,
    learn,
    learn_and_record_node,
    slow_baseline,
    slow_learn,
)

pytestmark = pytest.mark.slow
RAY = RayParams(address=None, cpus=0.5, gpus=0.0, memory_gb=None)
NOTHING = cast(TrainingData, None)


@pytest.fixture
def engines() -> Iterator[list[RayEngine]]:
    """Engines that a test creates; they are closed after it."""
    made: list[RayEngine] = []
    yield made
    for engine in made:
        engine.close()


@contextmanager
def cluster_of(head: dict[str, Any], *nodes: dict[str, Any]) -> Iterator[Any]:
    """Start a cluster on this machine, whose head and other nodes have these resources."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args=head | {"include_dashboard": False})
    try:
        for node in nodes:
            cluster.add_node(**node)
        yield cluster
    finally:
        cluster.shutdown()


@pytest.fixture(scope="module")
def ray() -> Iterator[RayParams]:
    """A cluster of two nodes that tests share, since starting one takes seconds."""
    with cluster_of({"num_cpus": 2, "num_gpus": 1}, {"num_cpus": 2}) as cluster:
        yield RAY.model_copy(update={"address": cluster.address})


@pytest.fixture
def seen(tmp_path: Path) -> Path:
    """The folder in which each worker, or each node, creates a file."""
    (folder := tmp_path / "seen").mkdir()
    return folder


@pytest.mark.parametrize(
    "workers", [pytest.param(1, marks=pytest.mark.long), 2, pytest.param(4, marks=pytest.mark.long)]
)
def test_any_number_of_workers_produces_the_study_of_one_process(
    tmp_path: Path, engines: list[RayEngine], ray: RayParams, seen: Path, workers: int
) -> None:
    expected = StudyHarness(tmp_path / "inline", trials=10).run()
    harness = StudyHarness(tmp_path / "ray", trials=10)
    work = partial(slow_learn, folder=seen, workers=workers)
    harness.engine = RayEngine(NOTHING, ray, workers, threads=3, work=work)
    engines.append(harness.engine)
    assert harness.run() == expected
    # Reused processes with three threads each, which see no GPU, since `gpus` is 0.
    environments = [json.loads(path.read_text()) for path in seen.iterdir()]
    assert len(environments) == workers
    assert all(each == {"OMP_NUM_THREADS": "3", "CUDA_VISIBLE_DEVICES": ""} for each in environments)


@pytest.mark.long  # tests/search/engine/test_mapped_data.py covers the same without a cluster
@pytest.mark.parametrize("here", [True, False])
def test_workers_map_the_prepared_data_or_fetch_them(
    tmp_path: Path, engines: list[RayEngine], ray: RayParams, seen: Path, here: bool
) -> None:
    written = figures()
    (tmp_path / "data").mkdir()
    write_dataset(written.dataset, tmp_path / "data" / "dataset.json")
    for split in (written.train, written.val):
        write_split(split, tmp_path / "data" / split.name)
    data = read_training_data(tmp_path / "data")
    # A machine without the data has nothing at this path.
    folder = tmp_path / "data" if here else tmp_path / "elsewhere"
    engine = RayEngine(data, ray, 2, threads=1, work=partial(describe_images, folder=seen), folder=folder)
    engines.append(engine)
    for number in range(2):
        engine.submit(number, Job(PLAIN, training(), number, (1.0,), 1, None))
    for number in range(2):
        mapped, owns, digest = json.loads(engine.wait(number)[1].detail)
        assert mapped == (str(tmp_path / "data" / "train" / "images.npy") if here else "")
        assert not owns  # neither mapped files nor arrays in the object store are copies of this process
        assert digest == written.train.digest


def test_a_killed_worker_does_not_change_the_study(tmp_path: Path, engines: list[RayEngine], ray: RayParams) -> None:
    harness = StudyHarness(tmp_path / "ray", trials=6)
    work = partial(die_once, flag=tmp_path / "flag")
    harness.engine = RayEngine(NOTHING, ray, 2, threads=1, work=work)
    engines.append(harness.engine)
    assert harness.run() == StudyHarness(tmp_path / "inline", trials=6).run()
    assert (tmp_path / "flag").exists()


def test_a_trial_that_always_loses_its_worker_fails(tmp_path: Path, engines: list[RayEngine], ray: RayParams) -> None:
    harness = StudyHarness(tmp_path, trials=1, max_retries=1, max_failures=0)
    harness.engine = RayEngine(NOTHING, ray, 1, threads=1, work=die)
    engines.append(harness.engine)
    with pytest.raises(UserError, match=r"1 trial failed:\n  trial 0: worker_lost: "):
        harness.run()


def test_a_worker_whose_memory_grows_is_replaced_without_changing_the_study(
    tmp_path: Path, engines: list[RayEngine], ray: RayParams, seen: Path
) -> None:
    harness = StudyHarness(tmp_path / "ray", trials=3, pruner="none")
    harness.engine = RayEngine(NOTHING, ray, 1, threads=1, work=partial(leak_memory, folder=seen))
    engines.append(harness.engine)
    assert harness.run() == StudyHarness(tmp_path / "inline", trials=3, pruner="none").run()
    assert len(list(seen.iterdir())) > 1


def test_a_rung_over_its_time_limit_is_cancelled_by_force(
    tmp_path: Path, engines: list[RayEngine], ray: RayParams
) -> None:
    harness = StudyHarness(tmp_path, trials=1, max_failures=0)
    harness.engine = RayEngine(NOTHING, ray, 1, threads=1, timeout_seconds=0.6, work=hang)
    engines.append(harness.engine)
    with pytest.raises(UserError, match=r"trial 0: timed_out: a rung took longer than search\.rung_timeout_minutes"):
        harness.run()


def test_a_bug_in_a_worker_stops_the_study_with_its_own_exception(
    tmp_path: Path, engines: list[RayEngine], ray: RayParams
) -> None:
    harness = StudyHarness(tmp_path)
    harness.engine = RayEngine(NOTHING, ray, 1, threads=1, work=broken)
    engines.append(harness.engine)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        harness.run()


@pytest.mark.parametrize("synchronous", [True, False])
def test_a_free_worker_gets_work_immediately_unless_the_study_is_synchronous(
    tmp_path: Path, engines: list[RayEngine], ray: RayParams, seen: Path, synchronous: bool
) -> None:
    harness = StudyHarness(
        tmp_path, trials=6, synchronous=synchronous, concurrency=2, pruner="none", cost_aware=False,
        space={"learning_rate": {"low": 0.001, "high": 0.1, "log": True}},
    )  # fmt: skip
    rate, others = harness.params.training.learning_rate, 0 if synchronous else 5
    work = partial(slow_baseline, rate=rate, folder=seen, others=others)
    harness.engine = RayEngine(NOTHING, ray, 2, threads=1, work=work)
    engines.append(harness.engine)
    ended = [result.number for result in harness.driver().run()]
    assert sorted(ended) == list(range(6))
    assert ended.index(0) < 2 if synchronous else ended.index(0) >= 4


@pytest.mark.parametrize(
    ("key", "each", "message"),
    [
        ("gpus", 64.0, r"search\.ray\.gpus: 2 workers with 64 each need 128, but the cluster has"),
        ("memory_gb", 4096.0, r"search\.ray\.memory_gb: 2 workers with 4096 GiB each need 8192 GiB, but"),
    ],
)
def test_more_resources_than_the_cluster_has_are_refused_immediately(
    ray: RayParams, key: str, each: float, message: str
) -> None:
    greedy = ray.model_copy(update={key: each})
    with pytest.raises(UserError, match=message):
        RayEngine(NOTHING, greedy, 2, threads=1)


def test_workers_larger_than_a_machine_are_refused_immediately(ray: RayParams) -> None:
    large = ray.model_copy(update={"cpus": 3.0})
    with pytest.raises(UserError, match=r"workers is 1, and each worker must fit.*\(cpus 3\), but only 0 fit"):
        RayEngine(NOTHING, large, 1, threads=1)


def test_workers_share_a_gpu_and_one_copy_of_the_data(engines: list[RayEngine], ray: RayParams, seen: Path) -> None:
    data = figures(train=1600)
    job = Job(PLAIN, training(), seed=1, shares=(1.0,), until=1, state=None)
    halves = ray.model_copy(update={"gpus": 0.5})
    engines.append(engine := RayEngine(data, halves, 2, threads=1, work=partial(inspect_worker, folder=seen)))
    for number in range(2):
        engine.submit(number, job)
    results = [json.loads(engine.wait(number)[1].detail) for number in range(2)]
    assert results == [["0", data.train.digest, False]] * 2  # data in the object store are read-only
    assert len(list(seen.iterdir())) == 2
    engines.pop().close()
    wholes = ray.model_copy(update={"gpus": 1.0})
    with pytest.raises(UserError, match=r"search\.ray\.gpus: 2 workers with 1 each need 2, but the cluster has 1;"):
        RayEngine(data, wholes, 2, threads=1, work=finish)


def expect_no_room(engine: RayEngine, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match=r"1 Ray worker must fit into the cluster, but none started"):
        engine.wait(0)
    printed = capsys.readouterr().out
    assert "waiting for 1 Ray worker to start; check the resources of the cluster with `ray status`" in printed


@contextmanager
def closed(engines: list[RayEngine]) -> Iterator[None]:
    """Close the engines before the cluster that they are connected to."""
    try:
        yield
    finally:
        while engines:
            engines.pop().close()


def test_waiting_for_a_full_cluster_is_reported_and_limited(
    engines: list[RayEngine], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import ray

    monkeypatch.setattr("search.engine.ray_engine.NONE_STARTED_SECONDS", 1.0)
    monkeypatch.setattr("search.engine.ray_engine.MAX_WAITING_SECONDS", 4.0)
    with cluster_of({"num_cpus": 1}) as cluster, closed(engines):
        # Another user occupies the cluster: a detached actor outlives the connection that created it.
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        holder = ray.remote(Holder).options(num_cpus=1, lifetime="detached", name="holder").remote()
        ray.get(holder.hold.remote())
        ray.shutdown()
        whole = RAY.model_copy(update={"address": cluster.address, "cpus": 1.0})
        engines.append(engine := RayEngine(NOTHING, whole, 1, threads=1, work=die))
        engine.submit(0, cast(Job, None))
        expect_no_room(engine, capsys)


@pytest.mark.long
def test_waiting_for_a_cluster_that_lost_its_only_node_is_reported_and_limited(
    engines: list[RayEngine], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with cluster_of({"num_cpus": 0}) as cluster, closed(engines):
        lost = cluster.add_node(num_cpus=1)
        whole = RAY.model_copy(update={"address": cluster.address, "cpus": 1.0})
        engines.append(engine := RayEngine(NOTHING, whole, 1, threads=1, work=finish))
        engine.submit(0, cast(Job, None))
        assert engine.wait(0)[1].detail == "done"
        cluster.remove_node(lost, allow_graceful=False)
        until, failure = time.monotonic() + 50, None
        while failure is None:  # the worker lives on for a moment
            assert time.monotonic() < until, "the worker outlives its node"
            engine.submit(0, cast(Job, None))
            failure = engine.wait(0)[1].failure
        assert failure == "worker_lost"
        monkeypatch.setattr("search.engine.ray_engine.NONE_STARTED_SECONDS", 1.0)
        monkeypatch.setattr("search.engine.ray_engine.MAX_WAITING_SECONDS", 4.0)
        engine.submit(0, cast(Job, None))
        expect_no_room(engine, capsys)


def test_an_unreachable_cluster_is_reported_immediately() -> None:
    unreachable = RAY.model_copy(update={"address": "127.0.0.1:9"})
    with pytest.raises(UserError, match=r"ray\.address: must be the address of a reachable .*, got '127\.0\.0\.1:9'"):
        RayEngine(NOTHING, unreachable, 1, threads=1)


class Unreadable:
    """Work that a worker cannot unpickle, as if the packages of the project were missing."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return __import__, ("no_such_package",)

    def __call__(self, job: Job, data: TrainingData) -> RungResult:
        raise AssertionError


def test_a_worker_that_cannot_start_is_reported_with_its_reason(
    tmp_path: Path, engines: list[RayEngine], ray: RayParams
) -> None:
    harness = StudyHarness(tmp_path, trials=1)
    harness.engine = RayEngine(NOTHING, ray, 1, threads=1, work=Unreadable())
    engines.append(harness.engine)
    with pytest.raises(UserError, match=r"Ray worker cannot start with .*No module named 'no_such_package'"):
        harness.run()


def test_a_missing_installation_of_ray_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"engine: ray needs the Python package ray.*make extras EXTRAS=ray"):
        RayEngine(NOTHING, RAY, 1, threads=1)


@pytest.mark.long
def test_two_nodes_produce_the_study_of_one_process_even_if_one_is_lost(
    tmp_path: Path, engines: list[RayEngine], seen: Path
) -> None:
    with cluster_of({"num_cpus": 1}) as cluster, closed(engines):
        lost = cluster.add_node(num_cpus=1)
        settings = RAY.model_copy(update={"address": cluster.address, "cpus": 1.0})
        harness = StudyHarness(tmp_path / "ray", trials=8)
        harness.engine = RayEngine(NOTHING, settings, 2, threads=1, work=partial(learn_and_record_node, folder=seen))
        engines.append(harness.engine)
        driver = harness.driver()
        for ended, _ in enumerate(driver.run()):
            if ended == 2:
                assert len(list(seen.iterdir())) == 2
                cluster.remove_node(lost, allow_graceful=False)
        assert harness.table(driver) == StudyHarness(tmp_path / "inline", trials=8).run()


# These come last: once a process has started Ray itself, Ray 2 places no more actors in clusters started earlier.


def test_ray_starts_on_this_machine_in_a_temporary_folder_with_a_long_name(
    tmp_path: Path, engines: list[RayEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    (long := tmp_path / ("long" * 20)).mkdir()  # too long for the name of a socket in it
    monkeypatch.setenv("TMPDIR", str(long))
    monkeypatch.setattr("tempfile.tempdir", None)
    harness = StudyHarness(tmp_path / "ray", trials=3)
    harness.engine = RayEngine(NOTHING, RAY, 2, threads=1, work=learn)
    engines.append(harness.engine)
    assert harness.run() == StudyHarness(tmp_path / "inline", trials=3).run()


def test_a_worker_killed_for_its_memory_is_distinguished_from_a_lost_one(
    tmp_path: Path, engines: list[RayEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = psutil.virtual_memory()
    threshold = 1 - memory.available / memory.total + 0.1
    monkeypatch.setenv("RAY_memory_usage_threshold", f"{threshold:.3f}")
    monkeypatch.setenv("RAY_memory_monitor_refresh_ms", "100")
    harness = StudyHarness(tmp_path, trials=1, max_failures=0)
    harness.engine = RayEngine(NOTHING, RAY, 1, threads=1, work=exhaust_memory)
    engines.append(harness.engine)
    with pytest.raises(UserError, match=r"trial 0: out_of_memory: "):
        harness.run()
