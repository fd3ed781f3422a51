"""Sample the system metrics of a run with MLflow's monitor: processor, memory and GPU."""

import logging
from typing import Any

SAMPLING_SECONDS = 5.0  # interval of the samples


def start_monitor(run_id: str, uri: str) -> Any:
    """Start sampling the system metrics of a run in a thread.

    Args:
        run_id: ID of the run in MLflow.
        uri: Tracking URI of the server.
    """
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    # It warns if the server fails, which the run says once.
    logging.getLogger("mlflow.system_metrics.system_metrics_monitor").setLevel(logging.ERROR)
    untyped: Any = SystemMetricsMonitor
    monitor = untyped(
        run_id,
        sampling_interval=SAMPLING_SECONDS,
        samples_before_logging=1,
        resume_logging=True,
        tracking_uri=uri,
    )
    monitor.start()
    return monitor


def stop_monitor(monitor: Any) -> None:
    """Stop the sampling, and publish the last sample, so that a run shorter than the interval has system metrics."""
    monitor.finish()
    last = monitor.aggregate_metrics()
    if last:
        monitor.publish_metrics(last)
        monitor.mlflow_logger.flush()


def abandon_monitor(monitor: Any) -> None:
    """Let the sampling end by itself, without publishing to a server that is unavailable."""
    monitor._shutdown_event.set()
