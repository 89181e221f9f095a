"""MQTT, with a real broker: each event at least once, with an id to know it by."""

from __future__ import annotations

import queue
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import orjson
import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from serve.shipping import cursor
from serve.shipping.mqtt import MqttSink, event, topic
from serve.shipping.plan import PASSWORDS, MqttPlan
from serve.shipping.program import drain
from serve.spool import Spool
from store.errors import InvalidInput, Unavailable
from tests.serve.shipping.conftest import PASSWORD, Broker
from tests.serve.shipping.running import LINE, Shipping, fill, plan_for, row, store_in


@contextmanager
def listening(broker: Broker) -> Iterator[queue.SimpleQueue[tuple[str, dict[str, Any]]]]:
    """Everything that is published below ``vision/``."""
    heard: queue.SimpleQueue[tuple[str, dict[str, Any]]] = queue.SimpleQueue()
    ready: queue.SimpleQueue[None] = queue.SimpleQueue()
    client = mqtt.Client(CallbackAPIVersion.VERSION2, "listener", clean_session=False)
    client.username_pw_set("vision", PASSWORD)

    def on_connect(*_: Any) -> None:  # noqa: ANN401 - as the library has it
        client.subscribe("vision/#", qos=1)

    client.on_connect = on_connect
    client.on_subscribe = lambda *_: ready.put(None)
    client.on_message = lambda _c, _u, m: heard.put((m.topic, orjson.loads(m.payload)))
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    ready.get(timeout=20)
    try:
        yield heard
    finally:
        client.disconnect()
        client.loop_stop()


@pytest.fixture(autouse=True)
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSWORDS["mqtt"], PASSWORD)


def sink_of(plan: MqttPlan) -> MqttSink:
    return MqttSink(plan, LINE, "edge-1")


def plan_of(broker: Broker, scheme: str = "mqtt", **given: Path) -> MqttPlan:
    return MqttPlan(url=f"{scheme}://127.0.0.1:{broker.port}", user="vision", **given)


def ids(heard: queue.SimpleQueue[tuple[str, dict[str, Any]]], count: int) -> set[str]:
    """Ids of decisions, until there are so many different ones."""
    found: set[str] = set()
    while len(found) < count:
        name, told = heard.get(timeout=20)
        if name.endswith("/decision"):
            found.add(told["id"])
    return found


def test_each_row_is_an_event_and_the_status_is_kept(broker: Broker, tmp_path: Path) -> None:
    store_in(tmp_path)
    fill(tmp_path, 450)
    password = tmp_path / "password"
    password.write_text(PASSWORD)
    plan = plan_for(tmp_path, mqtt=plan_of(broker, password_file=password))
    with listening(broker) as heard:
        assert drain(plan)["turin/press-3"]["mqtt"] == 450
        told = [heard.get(timeout=20) for _ in range(452)]
    status = "vision/turin/press-3/edge-1/status"
    assert [t["state"] for name, t in told if name == status] == ["online", "offline"]
    events = [t for name, t in told if name == "vision/turin/press-3/left/decision"]
    assert [t["id"] for t in events] == [f"edge-1/b00t/{n}" for n in range(1, 451)]
    assert events[0]["verdict"] == "REJECT"
    assert events[0]["serial"] == "s-1"
    assert "statistics" not in events[0]


def test_nothing_of_a_shadow_reaches_the_line(broker: Broker, tmp_path: Path) -> None:
    store_in(tmp_path)
    spool = Spool(tmp_path / "spool")
    spool.append(row(1))
    spool.append({"kind": "shadow", "camera": "left", "shadow_verdict": "PASS"})
    spool.append(row(3))
    spool.close()
    password = tmp_path / "password"
    password.write_text(PASSWORD)
    plan = plan_for(tmp_path, mqtt=plan_of(broker, password_file=password))
    with listening(broker) as heard:
        assert drain(plan)["turin/press-3"]["mqtt"] == 3
        told = [heard.get(timeout=20) for _ in range(4)]
    events = [t["id"] for name, t in told if name.endswith("/decision")]
    assert events == ["edge-1/b00t/1", "edge-1/b00t/3"]


def test_events_wait_for_the_broker_and_none_is_missing(
    broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSWORDS["mqtt"], PASSWORD)
    store_in(tmp_path)
    fill(tmp_path, 100)
    plan = plan_for(tmp_path, mqtt=plan_of(broker))
    drain(plan)
    broker.stop()
    fill(tmp_path, 100, 101)
    with pytest.raises(InvalidInput, match="refused"):
        drain(plan)
    assert cursor.load(tmp_path / "spool", "mqtt").next == 101
    broker.start()
    with listening(broker) as heard:
        drain(plan)
        assert ids(heard, 100) == {f"edge-1/b00t/{n}" for n in range(101, 201)}


def test_killed_while_publishing_every_event_comes(
    broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSWORDS["mqtt"], PASSWORD)
    store_in(tmp_path)
    fill(tmp_path, 2000)
    plan = plan_for(tmp_path, mqtt=plan_of(broker))
    with listening(broker) as heard:
        for _ in range(3):
            before = cursor.load(tmp_path / "spool", "mqtt").next
            shipping = Shipping(plan)
            while cursor.load(tmp_path / "spool", "mqtt").next == before:
                assert shipping.child.poll() is None
            shipping.kill()
        drain(plan)
        assert ids(heard, 2000) == {f"edge-1/b00t/{n}" for n in range(1, 2001)}


def test_host_that_vanishes_is_offline(broker: Broker) -> None:
    sink = sink_of(plan_of(broker))
    sink.open()
    with listening(broker) as heard:
        assert heard.get(timeout=20)[1]["state"] == "online"
        assert sink._client is not None
        connection = cast(socket.socket, sink._client.socket())
        connection.shutdown(socket.SHUT_RDWR)  # no word of parting
        assert heard.get(timeout=20)[1]["state"] == "offline"
        sink.open()
        assert heard.get(timeout=20)[1]["state"] == "online"
        sink.close()


def test_wrong_password_is_told_without_it(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSWORDS["mqtt"], "wrong-and-secret")
    sink = sink_of(plan_of(broker))
    with pytest.raises(Unavailable, match="Not authorized") as raised:
        sink.open()
    assert "secret" not in str(raised.value)
    sink.close()


# paho leaves the socket of a handshake that failed to the collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_encrypted_only_with_a_certificate_that_is_known(broker: Broker) -> None:
    broker.stop()
    folder = broker.folder
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    make += ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    make += ["-keyout", str(folder / "key.pem"), "-out", str(folder / "ca.pem")]
    subprocess.run(make, check=True, stderr=subprocess.DEVNULL)
    (folder / "key.pem").chmod(0o644)
    broker.settings += [f"certfile {folder / 'ca.pem'}", f"keyfile {folder / 'key.pem'}"]
    broker.start()
    known = plan_of(broker, "mqtts", ca_file=folder / "ca.pem")
    sink = sink_of(known)
    sink.open()
    sink.ship(1, 1, [{**row(1), "sequence": 1}])
    sink.close()
    stranger = sink_of(plan_of(broker, "mqtts"))
    with pytest.raises(Unavailable, match="certificate"):
        stranger.open()
    plain = sink_of(plan_of(broker))
    with pytest.raises(Unavailable):
        plain.open()


@pytest.mark.parametrize(
    ("camera", "level"), [("", "unnamed"), ("a/b", "a_b"), ("+#", "__"), ("é", "é")]
)
def test_topic_of_any_camera_is_one_level(camera: str, level: str) -> None:
    assert topic(LINE, {"camera": camera}) == f"vision/turin/press-3/{level}/decision"


def test_event_of_an_error_says_what_it_is() -> None:
    told = orjson.loads(event({"host": "h", "boot": "b", "sequence": 3, "error": "empty"}))
    assert told == {"id": "h/b/3", "kind": "error", "error": "empty"}


@pytest.mark.parametrize("url", ["127.0.0.1", "http://host", "mqtt://", "mqtt://h:x"])
def test_url_that_names_no_broker_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match="mqtts://host:port"):
        sink_of(MqttPlan(url=url))
