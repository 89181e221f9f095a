"""Launching jobs in this process on the instance that the UI uses, and following them."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import dagster as dg
import psutil
from dagster import DagsterEvent, DagsterRunStatus

from resources.store import HOME_VARIABLE, dagster_home

_SETTINGS = Path(__file__).parent.parent / "deploy" / "dagster.yaml"
_SECONDS_BETWEEN_POLLS = 0.3
_HOST, _PID, _STARTED = "vision/host", "vision/pid", "vision/process_started"
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}

Listener = Callable[[str, str], None]


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        run_id: Of the run, for the UI.
        is_success: Whether every step succeeded and no blocking check failed.
        faults: What failed, in words for people.
        warnings: Checks that failed without blocking.
    """

    run_id: str
    is_success: bool
    faults: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Request:
    """What is to be run.

    Attributes:
        partition_key: A line or a batch, already registered; None for assets without partitions.
        only: Names of the job's assets to materialise; empty: all.
        config: Dagster run config.
    """

    partition_key: str | None
    only: Sequence[str] = ()
    config: Mapping[str, Any] = field(default_factory=dict)


def open_instance() -> dg.DagsterInstance:
    """The instance at ``DAGSTER_HOME``, made with our settings when there is none."""
    home = dagster_home()
    home.mkdir(parents=True, exist_ok=True)
    if not (home / "dagster.yaml").exists():
        shutil.copyfile(_SETTINGS, home / "dagster.yaml")
    os.environ[HOME_VARIABLE] = str(home)
    return dg.DagsterInstance.get()


def bury_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Fail the runs whose process is gone and free their pool slots.

    Dagster's own monitoring looks only at runs that its launcher started; a run of ours that was
    killed would stay STARTED and hold its slot for ever.

    Returns:
        Ids of the runs that were failed.
    """
    unfinished = dg.RunsFilter(statuses=[DagsterRunStatus.STARTED, DagsterRunStatus.STARTING])
    dead = [run for run in instance.get_runs(unfinished) if _is_dead(run.tags)]
    for run in dead:
        instance.report_run_failed(run, "its process was killed; run it again: it goes on")
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
    return [run.run_id for run in dead]


def run_job(
    instance: dg.DagsterInstance, job: dg.JobDefinition, request: Request, listen: Listener
) -> Outcome:
    """Run a job for one partition in this process.

    Args:
        instance: Where the run is recorded.
        job: A job resolved from the definitions.
        request: What to run.
        listen: Called with the step's name and each of its log lines, from another thread.
    """
    run_id = str(uuid.uuid4())
    with _followed(instance, run_id, listen), _stopped_by_sigterm():
        result = job.execute_in_process(
            instance=instance,
            partition_key=request.partition_key,
            asset_selection=[dg.AssetKey(name) for name in request.only] or None,
            run_id=run_id,
            run_config={**_QUIET, **request.config},
            tags=_process_tags(),
            raise_on_error=False,
        )
    faults, warnings = _failed_checks(result)
    faults += [_message(event) for event in result.all_events if event.is_step_failure]
    return Outcome(run_id, result.success, tuple(faults), tuple(warnings))


def _process_tags() -> dict[str, str]:
    pid = os.getpid()
    return {_HOST: socket.gethostname(), _PID: str(pid), _STARTED: _started_at(pid)}


def _started_at(pid: int) -> str:
    """When a process started: tells it from a later one of the same number."""
    return f"{psutil.Process(pid).create_time():.2f}"


def _is_dead(tags: Mapping[str, str]) -> bool:
    """Whether the process that tagged a run of this host is gone; other runs are not ours."""
    if tags.get(_HOST) != socket.gethostname() or _PID not in tags:
        return False
    try:
        return _started_at(int(tags[_PID])) != tags[_STARTED]
    except psutil.NoSuchProcess:
        return True


@contextmanager
def _followed(instance: dg.DagsterInstance, run_id: str, listen: Listener) -> Iterator[None]:
    """Tell `listen` of the run's log lines while the block runs, and of the last ones after it."""
    stop = threading.Event()
    thread = threading.Thread(target=_poll, args=(instance, run_id, listen, stop), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _poll(
    instance: dg.DagsterInstance, run_id: str, listen: Listener, stop: threading.Event
) -> None:
    cursor, is_last = None, False
    while not is_last:
        is_last = stop.wait(_SECONDS_BETWEEN_POLLS)
        page = instance.event_log_storage.get_records_for_run(run_id, cursor=cursor)
        cursor = page.cursor
        for record in page.records:
            entry = record.event_log_entry
            if entry.dagster_event is None and entry.step_key:
                listen(entry.step_key, entry.user_message)
            elif entry.dagster_event and entry.dagster_event.is_step_start and entry.step_key:
                listen(entry.step_key, "started")


@contextmanager
def _stopped_by_sigterm() -> Iterator[None]:
    """Treat SIGTERM like Ctrl-C, so that Dagster reports the run instead of leaving it STARTED."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _failed_checks(result: dg.ExecuteInProcessResult) -> tuple[list[str], list[str]]:
    """Failed checks that stopped the run, and those that did not."""
    errors: list[str] = []
    warnings: list[str] = []
    for check in result.get_asset_check_evaluations():
        if not check.passed:
            found = errors if check.severity is dg.AssetCheckSeverity.ERROR else warnings
            found.append(
                f"{check.asset_key.to_user_string()}: {check.check_name}: {check.description}"
            )
    return errors, warnings


def _message(event: DagsterEvent) -> str:
    """The innermost error of a failed step; ours say what to do."""
    error = event.step_failure_data.error
    while error is not None and error.cause is not None:
        error = error.cause
    text = error.message.strip() if error else "no message"
    name, _, message = text.partition(": ")
    return f"{event.step_key}: {message if name.startswith('store.errors.') else text}"
