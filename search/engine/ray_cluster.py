"""Connect to a Ray cluster, local or remote, and check that it has the resources for the workers of a study."""

import logging
import math
import os
import socket
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from pipeline.errors import UserError
from pipeline.params import RayParams
from pipeline.terminal.console import buffered_stderr

_LOGGER = logging.getLogger(__name__)

_PROBE_SECONDS = 5.0
# The path of a Unix socket has at most 107 bytes, of which Ray uses up to 68:
# /ray/session_2026-01-01_00-00-00_000000_0000000/sockets/plasma_store
_MAX_FOLDER = 38


def connect(settings: RayParams, workers: int) -> Any:
    """Connect to a cluster that has the resources for the workers, and return the module `ray`.

    Args:
        settings: The section `search.ray` of params.yaml.
        workers: Number of workers.

    Raises:
        UserError: Ray is not installed, or the cluster is unreachable or lacks resources.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise UserError(
            "params.yaml: search.engine: ray needs the Python package ray, which is not installed; "
            "install it with `make extras EXTRAS=ray`, or use engine: processes"
        ) from None
    _probe(settings.address)
    common: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "ignore_reinit_error": False}
    threads = math.ceil(workers * settings.cpus)
    if settings.address is None and threads > (os.cpu_count() or threads):
        _LOGGER.warning(f"the {workers} workers request {threads} CPUs in total, but this machine has {os.cpu_count()}")
    try:
        with buffered_stderr(True):
            if settings.address is None:
                ray.init(
                    address="local",  # do not join a cluster that already runs on this machine
                    num_cpus=max(os.cpu_count() or 1, threads),
                    include_dashboard=False,
                    _node_ip_address="127.0.0.1",
                    _temp_dir=_short_folder(),
                    **common,
                )
            else:
                root = Path(__file__).resolve().parents[2]
                modules = [str(root / "pipeline"), str(root / "search")]
                ray.init(address=settings.address, runtime_env={"py_modules": modules}, **common)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise _out_of_reach(settings.address, error) from None
    _check_resources(ray, settings, workers)
    return ray


def _short_folder() -> str | None:
    """Return a folder for Ray's session if its default in TMPDIR is too long for the path of a Unix socket.

    None keeps the default.
    """
    chosen = os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()
    if len(os.fsencode(chosen)) <= _MAX_FOLDER:
        return None
    for folder in ("/tmp", "/var/tmp", "/dev/shm"):  # noqa: S108  # the owner of the folder in it is checked
        own = Path(folder, f"ray-{os.getuid()}")  # Ray's default /tmp/ray may belong to another user
        with suppress(OSError):
            own.mkdir(mode=0o700, exist_ok=True)
            if own.lstat().st_uid == os.getuid() and not own.is_symlink():
                return str(own)
    return None


def _probe(address: str | None) -> None:
    """Check that the cluster accepts connections, because Ray itself would retry for minutes."""
    host, separator, port = (address or "").removeprefix("ray://").rpartition(":")
    if not separator or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), _PROBE_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise _out_of_reach(address, error) from None


def _out_of_reach(address: str | None, error: BaseException) -> UserError:
    if address is None:
        return UserError(
            f"params.yaml: search.engine: cannot start Ray on this machine: {first_sentence(error)}; "
            "use engine: processes"
        )
    return UserError(
        f"params.yaml: search.ray.address: must be the address of a reachable Ray cluster, got {address!r}: "
        f"{first_sentence(error)}; start it (docs/cluster.md), or use null"
    )


def _check_resources(ray: Any, settings: RayParams, workers: int) -> None:
    """Raise an error if the cluster lacks resources, because Ray would wait for them forever."""
    needs = {"CPU": (settings.cpus, "cpus"), "GPU": (settings.gpus, "gpus")}
    if settings.memory_gb is not None:
        needs["memory"] = (settings.memory_gb * 2**30, "memory_gb")
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    for resource, (each, key) in needs.items():
        there = sum(machine.get(resource, 0.0) for machine in machines)
        scale, unit = (2**30, " GiB") if resource == "memory" else (1, "")
        if each * workers > there + 1e-9:
            ray.shutdown()
            raise UserError(
                f"params.yaml: search.ray.{key}: {workers} workers with {each / scale:g}{unit} each need "
                f"{each * workers / scale:g}{unit}, but the cluster has {there / scale:g}{unit}; "
                f"reduce search.ray.{key} or search.workers"
            )
    places = sum(
        min(math.floor(machine.get(resource, 0.0) / each + 1e-9) for resource, (each, _) in needs.items() if each)
        for machine in machines
    )
    if places < workers:
        ray.shutdown()
        asked = ", ".join(f"{key} {getattr(settings, key):g}" for each, key in needs.values() if each)
        keys = ", ".join(f"search.ray.{key}" for each, key in needs.values() if each)
        raise UserError(
            f"params.yaml: search.ray: search.workers is {workers}, and each worker must fit on one machine of the "
            f"cluster ({asked}), but only {places} fit; reduce {keys} or search.workers"
        )


def first_sentence(error: BaseException) -> str:
    """Return the first line of an error's message, or the name of its type if there is no message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
