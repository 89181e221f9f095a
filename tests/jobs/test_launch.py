"""Runs of the command line: recorded, told of, and buried when their process was killed."""

import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest
from dagster import DagsterRunStatus
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from jobs.deploy import report_release
from jobs.launch import FailedCheck, Request, bury_dead_runs, open_instance, run_job
from store.errors import Refused
from store.keys import BatchKey, LineKey
from store.ledger import Entry
from vision_assets.partitions import lines, register

SLEEPER = """
import time
import dagster as dg
from jobs.launch import Request, Stopped, open_instance, run_job

@dg.asset(pool="training")
def slow() -> None:
    print("asleep", flush=True)
    time.sleep(60)

job = dg.Definitions(
    assets=[slow], jobs=[dg.define_asset_job("slow_job", executor_def=dg.in_process_executor)]
).resolve_job_def("slow_job")
with open_instance() as instance:
    try:
        run_job(instance, job, Request(None), lambda step, text: None)
    except Stopped as stop:
        print("stopped", stop.number, flush=True)
"""


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    with open_instance() as opened:
        register(opened, [BatchKey("a", "b", "c")])
        yield opened


def job_of(*assets: dg.AssetsDefinition) -> dg.JobDefinition:
    made = dg.define_asset_job("probe", executor_def=dg.in_process_executor)
    return dg.Definitions(assets=list(assets), jobs=[made]).resolve_job_def("probe")


@dg.asset(partitions_def=lines)
def talker(context: dg.AssetExecutionContext) -> None:
    context.log.info("half way")


@dg.asset(partitions_def=lines)
def refuser() -> None:
    raise Refused("the gate says no: do this instead")


@dg.asset(
    partitions_def=lines,
    check_specs=[
        dg.AssetCheckSpec("hard", asset="checked", blocking=True),
        dg.AssetCheckSpec("soft", asset="checked"),
    ],
)
def checked() -> dg.MaterializeResult:  # type: ignore[type-arg]
    warn = dg.AssetCheckSeverity.WARN
    return dg.MaterializeResult(
        check_results=[
            dg.AssetCheckResult(check_name="hard", passed=False, description="mend this"),
            dg.AssetCheckResult(check_name="soft", passed=False, severity=warn, description="hm"),
        ]
    )


def test_a_run_is_recorded_and_its_log_lines_are_told(instance: dg.DagsterInstance) -> None:
    told: list[tuple[str, str]] = []
    outcome = run_job(instance, job_of(talker), Request("a/b"), lambda *line: told.append(line))
    assert outcome.is_success
    assert ("talker", "half way") in told
    run = instance.get_run_by_id(outcome.run_id)
    assert run is not None
    assert run.job_name == "probe"
    assert run.tags["dagster/partition"] == "a/b"


def test_our_errors_are_told_without_a_stack(instance: dg.DagsterInstance) -> None:
    outcome = run_job(instance, job_of(refuser), Request("a/b"), lambda *_: None)
    assert outcome.errors == ("refuser: the gate says no: do this instead",)
    assert outcome.stopped_after == ""
    assert not outcome.is_success


def test_failed_checks_stop_or_warn_and_are_told_once(instance: dg.DagsterInstance) -> None:
    outcome = run_job(instance, job_of(checked), Request("a/b"), lambda *_: None)
    assert outcome.failed_checks == (FailedCheck("checked", "hard", "mend this"),)
    assert outcome.warnings == (FailedCheck("checked", "soft", "hm"),)
    assert outcome.errors == (), "that a check stopped the step is no further error"
    assert outcome.stopped_after == "checked"


def test_checks_of_two_lines_are_told_apart(instance: dg.DagsterInstance) -> None:
    register(instance, [BatchKey("a", "good", "c")])
    for line in ("a/b", "a/good"):
        assert run_job(instance, job_of(judged), Request(line), lambda *_: None).is_success
    key = dg.AssetCheckKey(dg.AssetKey("judged"), "is_good")
    history = instance.event_log_storage.get_asset_check_execution_history(key, limit=9)
    found = {record.partition: record.status for record in history}
    assert found == {
        "a/b": AssetCheckExecutionRecordStatus.FAILED,
        "a/good": AssetCheckExecutionRecordStatus.SUCCEEDED,
    }


def test_a_release_made_elsewhere_is_shown(instance: dg.DagsterInstance) -> None:
    line = LineKey("x", "y")
    entry = Entry(action="promote", bundle="b", who="ada", why="", number=1, time=datetime.now(UTC))
    report_release(line, entry)
    assert instance.has_dynamic_partition("lines", "x/y")
    assert instance.get_materialized_partitions(dg.AssetKey("release")) == {"x/y"}


with warnings.catch_warnings():
    warnings.simplefilter("ignore", dg.PreviewWarning)
    IS_GOOD = dg.AssetCheckSpec("is_good", asset="judged", partitions_def=lines)


@dg.asset(partitions_def=lines, check_specs=[IS_GOOD])
def judged(context: dg.AssetExecutionContext) -> dg.MaterializeResult:  # type: ignore[type-arg]
    passed = context.partition_key == "a/good"
    result = dg.AssetCheckResult(
        check_name="is_good", passed=passed, severity=dg.AssetCheckSeverity.WARN
    )
    return dg.MaterializeResult(check_results=[result])


@contextmanager
def sleeper(home: Path) -> Iterator[subprocess.Popen[str]]:
    """A process in the middle of a run that holds a pool slot."""
    child = subprocess.Popen(
        [sys.executable, "-c", SLEEPER],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "DAGSTER_HOME": str(home)},
        start_new_session=True,
    )
    with child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "asleep\n"
            yield child
        finally:
            child.kill()


def test_a_killed_run_is_buried_and_its_pool_slot_freed(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    with sleeper(tmp_path / "home") as child:
        assert bury_dead_runs(instance) == [], "a run that lives is left alone"
        child.kill()
    storage = instance.event_log_storage
    assert storage.get_concurrency_info("training").claimed_slots
    (buried,) = bury_dead_runs(instance)
    run = instance.get_run_by_id(buried)
    assert run is not None
    assert run.status is DagsterRunStatus.FAILURE
    assert not storage.get_concurrency_info("training").claimed_slots
    assert bury_dead_runs(instance) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_instead_of_leaving_it(
    instance: dg.DagsterInstance, tmp_path: Path, number: int
) -> None:
    with sleeper(tmp_path / "home") as child:
        os.killpg(child.pid, number)
        assert child.stdout is not None
        assert child.stdout.read() == f"stopped {number}\n", "and no traceback"
    (run,) = instance.get_runs()
    assert run.status is DagsterRunStatus.FAILURE
    assert not instance.event_log_storage.get_concurrency_info("training").claimed_slots
