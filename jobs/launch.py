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
from dagster._core.instance.ref import InstanceRef
from dagster._core.storage.noop_compute_log_manager import NoOpComputeLogManager

from resources.store import HOME_VARIABLE, dagster_home

_SETTINGS = Path(__file__).parent.parent / "deploy" / "dagster.yaml"
_SECONDS_BETWEEN_POLLS = 0.3
_HOST, _PID, _STARTED = "vision/host", "vision/pid", "vision/process_started"
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}

Listener = Callable[[str, str], None]


class Stopped(KeyboardInterrupt):
    """A run was stopped by SIGINT or SIGTERM; Dagster has it as failed."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number


@dataclass(frozen=True)
class FailedCheck:
    """A check that failed, as people read it.

    Attributes:
        asset: Whose.
        name: Of the check.
        message: What it found.
    """

    asset: str
    name: str
    message: str

    def __str__(self) -> str:
        """The check and what it found.

        >>> str(FailedCheck("bundle", "gates", "parity: 1 flip"))
        'bundle: gates: parity: 1 flip'
        """
        return f"{self.asset}: {self.name}: {self.message}"


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        run_id: Of the run, for the UI.
        is_success: Whether every step succeeded and no blocking check failed.
        failed_checks: Checks that failed and stopped the run.
        errors: What failed otherwise, in words for people.
        warnings: Checks that failed without stopping it.
    """

    run_id: str
    is_success: bool
    failed_checks: tuple[FailedCheck, ...]
    errors: tuple[str, ...]
    warnings: tuple[FailedCheck, ...]

    @property
    def stopped_after(self) -> str:
        """The asset that was made but failed a check; empty when it was not that alone."""
        assets = {check.asset for check in self.failed_checks}
        return assets.pop() if len(assets) == 1 and not self.errors else ""


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
    """The instance at ``DAGSTER_HOME``, made with our settings when there is none.

    It keeps no standard output of steps: what they say are log lines, and the processes that would
    copy it die of Ctrl-C with a traceback on the terminal.
    """
    home = dagster_home()
    home.mkdir(parents=True, exist_ok=True)
    if not (home / "dagster.yaml").exists():
        shutil.copyfile(_SETTINGS, home / "dagster.yaml")
    os.environ[HOME_VARIABLE] = str(home)
    nothing = {"module": NoOpComputeLogManager.__module__, "class": NoOpComputeLogManager.__name__}
    return dg.DagsterInstance.from_ref(
        InstanceRef.from_dir(str(home), overrides={"compute_logs": nothing})
    )


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

    Raises:
        Stopped: when SIGINT or SIGTERM came; the run is reported failed.
    """
    run_id = str(uuid.uuid4())
    with _followed(instance, run_id, listen), _stoppable(instance, run_id):
        result = job.execute_in_process(
            instance=instance,
            partition_key=request.partition_key,
            asset_selection=[dg.AssetKey(name) for name in request.only] or None,
            run_id=run_id,
            run_config={**_QUIET, **request.config},
            tags=_process_tags(),
            raise_on_error=False,
        )
    errors = (_message(event) for event in result.all_events if event.is_step_failure)
    failed, warnings = _failed_checks(result)
    return Outcome(
        run_id, result.success, tuple(failed), tuple(filter(None, errors)), tuple(warnings)
    )


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
def _stoppable(instance: dg.DagsterInstance, run_id: str) -> Iterator[None]:
    """Raise Stopped when a signal came, whatever Dagster made of it, and leave no run unfinished.

    Dagster fails the run itself when a step was interrupted, and gives back a result.
    """
    with _signals() as received:
        error: BaseException | None = None
        try:
            yield
        except (KeyboardInterrupt, dg.DagsterExecutionInterruptedError) as interruption:
            error = interruption
        numbers = received()
        if error is None and not numbers:
            return
        run = instance.get_run_by_id(run_id)
        if run and not run.is_finished:
            instance.report_run_failed(run, "it was stopped; run it again: it goes on")
        instance.event_log_storage.free_concurrency_slots_for_run(run_id)
        raise Stopped(numbers[0] if numbers else signal.SIGINT) from error


@contextmanager
def _signals() -> Iterator[Callable[[], bytes]]:
    """SIGTERM interrupts like Ctrl-C; what the block gets gives the numbers of both as they came.

    Dagster puts handlers of its own in the place of ours while a step runs, and those forget which
    signal it was; the wake-up descriptor is written to whoever handles it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: b""
        return

    def interrupt(number: int, _frame: FrameType | None) -> None:
        raise Stopped(number)

    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, interrupt) for number in numbers}
    woken = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        yield lambda: _read(reader)
    finally:
        signal.set_wakeup_fd(woken)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(reader)
        os.close(writer)


def _read(descriptor: int) -> bytes:
    """The signals received so far; other signals than these two are not ours."""
    try:
        received = os.read(descriptor, 64)
    except BlockingIOError:
        return b""
    return bytes(number for number in received if number in (signal.SIGINT, signal.SIGTERM))


def _failed_checks(
    result: dg.ExecuteInProcessResult,
) -> tuple[list[FailedCheck], list[FailedCheck]]:
    """Failed checks of severity ERROR, and the others."""
    errors: list[FailedCheck] = []
    warnings: list[FailedCheck] = []
    for check in result.get_asset_check_evaluations():
        if not check.passed:
            found = errors if check.severity is dg.AssetCheckSeverity.ERROR else warnings
            asset = check.asset_key.to_user_string()
            found.append(FailedCheck(asset, check.check_name, check.description or ""))
    return errors, warnings


def _message(event: DagsterEvent) -> str:
    """The innermost error of a failed step; ours say what to do. Empty for a failed check."""
    error = event.step_failure_data.error
    while error is not None and error.cause is not None:
        error = error.cause
    if error is not None and error.cls_name == "DagsterAssetCheckFailedError":
        return ""
    text = error.message.strip() if error else "no message"
    name, _, message = text.partition(": ")
    return f"{event.step_key}: {message if name.startswith('store.errors.') else text}"
