"""The server's side of the shipping process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from serve.shipping.child import ShippingProcess
from serve.shipping.plan import PASSWORDS, plan_of
from serve.shipping.program import drain
from store.errors import Conflict
from tests.serve.running import settings_for
from tests.serve.shipping.running import fill, plan_for, sequences, store_in


def test_it_ships_what_is_there_before_it_ends(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    child = ShippingProcess(plan_for(tmp_path, every_s=3600), {})
    child.start()
    assert child.pid is not None
    fill(tmp_path, 50)
    child.stop(60)
    assert sequences(store) == list(range(1, 51))
    assert child.pid is None


def test_it_is_started_again_when_it_ends(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    fill(tmp_path, 10)
    child = ShippingProcess(plan_for(tmp_path), {})
    child.start()
    first = child.pid
    assert first is not None
    os.kill(first, signal.SIGTERM)  # a service manager signals to all; only the server ends it
    os.kill(first, signal.SIGKILL)
    while child.pid in (None, first):
        time.sleep(0.01)
    while len(sequences(store)) < 10:
        time.sleep(0.05)
    child.stop(60)
    assert sequences(store) == list(range(1, 11))


def test_only_one_process_ships_a_spool(tmp_path: Path) -> None:
    store_in(tmp_path)
    fill(tmp_path, 1)
    child = ShippingProcess(plan_for(tmp_path), {})
    child.start()
    while not (tmp_path / "spool" / "shipping" / "parquet.json").exists():
        time.sleep(0.01)
    with pytest.raises(Conflict, match="stop the server first"):
        drain(plan_for(tmp_path))
    child.stop(60)


def test_it_ends_with_a_server_that_is_killed(tmp_path: Path) -> None:
    store_in(tmp_path)
    fill(tmp_path, 1)
    code = (
        "import sys, time\n"
        "from serve.shipping.child import ShippingProcess\n"
        "from serve.shipping.plan import Plan\n"
        "child = ShippingProcess(Plan.model_validate_json(sys.argv[1]), {})\n"
        "child.start()\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    plan = plan_for(tmp_path).model_dump_json()
    server = subprocess.Popen([sys.executable, "-c", code, plan], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    pid = int(server.stdout.readline())
    server.kill()
    server.wait()
    server.stdout.close()
    while _is_running(pid):
        time.sleep(0.01)


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_plan_of_settings_holds_no_password(tmp_path: Path) -> None:
    secret = "s3cret-of-the-plant"
    given = {
        "postgres": "postgresql://vision@db/plant",
        "postgres_password": secret,
        "mqtt": "mqtts://broker",
        "mqtt_user": "line",
        "mqtt_password": secret,
    }
    settings = settings_for(tmp_path, **given)
    plan = plan_of(settings)
    assert plan.sinks == ("parquet", "postgres", "mqtt")
    assert secret not in plan.model_dump_json() + repr(settings) + str(settings.model_dump())
    child = ShippingProcess(plan, {"postgres": secret})
    assert child._environment[PASSWORDS["postgres"]] == secret
