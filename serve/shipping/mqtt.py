"""Rows as MQTT events, for whoever on the plant's network wants to know at once.

``vision/{site}/{line}/{camera}/decision``: one small JSON object for each row, QoS 1, which may
come twice and has its decision id in it. ``vision/{site}/{line}/{host}/status``, retained, is
``online`` while this host ships, else ``offline`` (the broker says so when the host vanishes).
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import orjson
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from serve.shipping.plan import MqttPlan, password
from serve.shipping.shipper import Pace, Row
from store.errors import InvalidInput, Unavailable
from store.keys import LineKey

FIELDS = (
    "line",
    "camera",
    "product",
    "serial",
    "frame_id",
    "captured_at",
    "received_at",
    "kind",
    "verdict",
    "score",
    "reasons",
    "release",
    "error",
    "total_ms",
)
"""What an event tells of a row, besides its ``id``."""

_WAIT_S = 10.0
_KEEPALIVE_S = 30
_IN_FLIGHT = 100
_QOS = 1
_PORTS = {"mqtt": 1883, "mqtts": 8883}


class MqttSink:
    """The decisions of one line as events."""

    name = "mqtt"
    pace = Pace(most_rows=200, wait_s=0.1)

    def __init__(self, plan: MqttPlan, line: LineKey, host: str) -> None:
        """Publish to the broker that the plan names; nothing is opened yet.

        Raises:
            InvalidInput: when its URL cannot be understood.
        """
        self._broker = _broker(plan.url)
        self._plan = plan
        self._line, self._host = line, host
        self._client: mqtt.Client | None = None

    def open(self) -> None:
        """Connect, unless connected, and say so."""
        if self._client is not None and self._client.is_connected():
            return
        self._abandon()
        client = self._make_client()
        answered = threading.Event()
        refusal: list[str] = []

        def on_connect(*told: Any) -> None:  # noqa: ANN401 - as the library has it
            code = told[3]
            if code.is_failure:
                refusal.append(str(code))
            answered.set()

        def on_disconnect(*told: Any) -> None:  # noqa: ANN401 - as the library has it
            refusal.append(str(told[3]))
            answered.set()

        client.on_connect, client.on_disconnect = on_connect, on_disconnect
        host, port, _ = self._broker
        try:
            client.connect(host, port, _KEEPALIVE_S)
        except (OSError, ValueError) as error:
            raise Unavailable(f"MQTT broker {host}:{port}: {error}; events wait") from error
        self._client = client
        client.loop_start()
        if not answered.wait(_WAIT_S) or refusal:
            why = refusal[0] if refusal else "no answer"
            self._abandon()
            raise Unavailable(f"MQTT broker {host}:{port}: {why}; events wait")
        self._publish([(self._status_topic, self._status("online"), True)])

    def ship(self, first: int, last: int, rows: Sequence[Row]) -> None:
        """Publish one event for each row; all are acknowledged when this returns.

        A shadow's rows are left out: nothing of a shadow reaches the line.
        """
        del first, last
        heard = [row for row in rows if row.get("kind") != "shadow"]
        self._publish([(topic(self._line, row), event(row), False) for row in heard])

    def close(self) -> None:
        """Say that this host is gone, and disconnect."""
        with suppress(Unavailable):
            if self._client is not None and self._client.is_connected():
                self._publish([(self._status_topic, self._status("offline"), True)])
        self._abandon()

    def _publish(self, messages: Sequence[tuple[str, bytes, bool]]) -> None:
        client = self._client
        assert client is not None
        deadline = time.monotonic() + _WAIT_S
        sent = [client.publish(name, data, _QOS, retain) for name, data, retain in messages]
        try:
            for message in sent:
                message.wait_for_publish(max(0.0, deadline - time.monotonic()))
            is_done = all(message.is_published() for message in sent)
        except (RuntimeError, ValueError):  # not connected any more
            is_done = False
        if not is_done:
            self._abandon()
            host, port, _ = self._broker
            raise Unavailable(f"MQTT broker {host}:{port}: no acknowledgement; events wait")

    def _make_client(self) -> mqtt.Client:
        client_id = f"vision-{self._line.site}-{self._line.line}-{self._host}"
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id, clean_session=True)
        if self._plan.user is not None:
            client.username_pw_set(self._plan.user, password("mqtt", self._plan.password_file))
        if self._broker[2]:
            ca_file = self._plan.ca_file
            try:
                client.tls_set(ca_certs=str(ca_file) if ca_file else None)
            except OSError as error:
                raise Unavailable(f"MQTT: {ca_file}: {error}; give a readable CA file") from error
        client.max_inflight_messages_set(_IN_FLIGHT)
        client.will_set(self._status_topic, self._status("offline"), _QOS, retain=True)
        return client

    @property
    def _status_topic(self) -> str:
        return f"vision/{self._line}/{_level(self._host)}/status"

    def _status(self, state: str) -> bytes:
        return orjson.dumps({"state": state, "host": self._host, "line": str(self._line)})

    def _abandon(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.disconnect()
            client.loop_stop()


def topic(line: LineKey, row: Row) -> str:
    """Where the event of a row is published.

    >>> topic(LineKey("turin", "press-3"), {"camera": "left/upper"})
    'vision/turin/press-3/left_upper/decision'
    """
    return f"vision/{line}/{_level(str(row.get('camera') or ''))}/decision"


def event(row: Row) -> bytes:
    """The event of a row: its id and the fields of `FIELDS` that it has."""
    kind = "decision" if "verdict" in row else "error"
    told = {"kind": kind, **row}
    identity = f"{row.get('host', '')}/{row.get('boot', '')}/{row['sequence']}"
    fields = {name: told[name] for name in FIELDS if told.get(name) not in (None, "")}
    return orjson.dumps({"id": identity, **fields})


def _level(name: str) -> str:
    """A name as one level of a topic; what would have a meaning there is replaced."""
    return re.sub(r"[/+#\x00-\x1f\x7f-\x9f]", "_", name) or "unnamed"


def _broker(url: str) -> tuple[str, int, bool]:
    """Host, port, and whether the transport is encrypted."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
        parts = urlsplit("")
    if parts.scheme not in _PORTS or not host:
        raise InvalidInput("the MQTT broker should read mqtt://host:port or mqtts://host:port")
    return host, port or _PORTS[parts.scheme], parts.scheme == "mqtts"
