"""Runs: recorded in files, mirrored in MLflow, reviewed in its UI."""

from pipeline.tracking.live import LiveRun, track
from pipeline.tracking.record import STATUS_OF_TRIAL, RunRecord, read_record, write_record
from pipeline.tracking.sync import sync

__all__ = ["STATUS_OF_TRIAL", "LiveRun", "RunRecord", "read_record", "sync", "track", "write_record"]
