"""The server process: puts spool, watcher, handler and gRPC together, and drains them in order."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version

import grpc
from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from serve import health
from serve.access import AccessInterceptor
from serve.addresses import listening, require_free
from serve.desk import Desk
from serve.front.calls import Plain
from serve.front.connection import Limits
from serve.front.front import Front
from serve.open_inference.servicer import SERVICE as OPEN_INFERENCE
from serve.open_inference.servicer import OpenInferenceServicer
from serve.operations import Operations
from serve.places import require_nothing_left
from serve.protocol import inspection_v1_pb2 as pb
from serve.servicer import INSPECTION, Servicer
from serve.settings import MIB, Settings
from serve.shipping.child import ShippingProcess
from serve.shipping.plan import passwords_of, plan_of
from serve.station import Station, Stations
from serve.tokens import Grant
from serve.turns import Shares, Turns
from store.errors import InvalidInput, Unavailable
from store.root import Store

_log = logging.getLogger(__name__)

NEWEST_RELEASE = "newest-release"
"""Health service that is SERVING while the newest release of the ledger is the one that answers."""

SHIPPING = "shipping"
"""Health service that is SERVING while no decision waits too long to be shipped, or was lost."""

_QUIET_S = 0.2


class Server:
    """One server; `start`, then `drain`."""

    def __init__(self, settings: Settings) -> None:
        """Open store and spools; nothing listens yet.

        Raises:
            VisionError: when a spool is in use or cannot be written.
            ValueError: when the store cannot be opened.
        """
        self.settings = settings
        require_nothing_left(settings)
        store = Store(settings.store)
        self.turns = Turns(settings.workers, Shares(settings.weights), settings.waiting)
        self._health = health.Health()
        self.operations = Operations(settings, lambda: self.stations, self.turns)
        observers = (self.operations.observations,)
        self.stations = Stations(
            {
                str(line): Station(store, line, settings, self.turns, self._show_health, observers)
                for line in settings.line_keys
            }
        )
        self._shipping = (
            ShippingProcess(plan_of(settings), passwords_of(settings)) if settings.ship else None
        )
        self._desk = Desk(self.stations, self.operations.access)
        self.servicer = Servicer(
            self._desk, self._info_message, is_traced=settings.otlp is not None
        )
        self._open_inference = OpenInferenceServicer(
            self.stations, self.operations.access, is_traced=settings.otlp is not None
        )
        self.address = self.fast_address = ""
        self._front: Front | None = None
        self._grpc = self._make_grpc()

    def start(self) -> str:
        """Take the address, prepare the live release, then answer.

        Returns:
            The address, with the port that was really taken.

        Raises:
            Unavailable: when the address cannot be listened on.
        """
        address = self.address = self._listen()
        self._listen_fast()
        self.operations.start()
        for station in self.stations.values():
            station.start()
        if self._shipping:
            self._shipping.start()
        self._grpc.start()
        if self._front:
            self._front.start()
        if not self.settings.is_loopback and self.settings.tls is None:
            _log.warning(
                "listening beyond this machine without encryption", extra={"address": address}
            )
        _log.info("listening", extra={"address": address, "lines": self.settings.lines})
        self.operations.tell_ready(address)
        return address

    def drain(self) -> None:
        """Refuse new requests, answer those in work, put the spool on disk, stop.

        A stream is ended once the frame in work is answered; every other call goes on to its
        answer. What is still in work after ``drain_s`` is given up.
        """
        _log.info("draining", extra={"lines": self.settings.lines})
        self.operations.begin_drain()
        self._health.drain()
        with ThreadPoolExecutor(1, thread_name_prefix="drain") as beside:
            if self._front:
                beside.submit(self._front.drain, self.settings.drain_s)
            self._drain_grpc()
        for station in self.stations.values():
            station.stop()
        if self._shipping:
            self._shipping.stop(self.settings.drain_s)
        self.operations.stop()
        _log.info("stopped", extra={"lines": self.settings.lines})

    def _drain_grpc(self) -> None:
        stopped = self._grpc.stop(self.settings.drain_s)
        streams = self.servicer.streams, self._open_inference.streams
        for opened in streams:
            opened.end()
        while not stopped.wait(_QUIET_S):
            for opened in streams:
                opened.end_waiting(_QUIET_S)

    def info(self, station: Station) -> pb.ServerInfo:
        """What runs at the moment on one of the lines."""
        release, spool = station.stand_in.live(), station.spool.state()
        message = pb.ServerInfo(
            line=station.identity.line,
            version=version("vision-assets"),
            host=station.identity.host,
            boot=station.identity.boot,
            fault=station.watcher.fault,
            workers=self.settings.workers,
            spool=pb.SpoolInfo(
                next_sequence=spool.next_sequence,
                synced_sequence=spool.synced_sequence,
                bytes=spool.bytes,
                dropped=spool.dropped,
                fault=spool.fault,
            ),
        )
        standing = station.watcher.releases()
        message.canaries.extend(canary.release.name for canary in standing.canaries)
        message.shadow = standing.shadow.name if standing.shadow else ""
        if release:
            contract, engine = release.bundle.contract, release.inspector.engine
            message.release, message.bundle = release.name, release.bundle.name
            message.engine, message.engine_build = release.engine, engine.build
            message.live_since.FromDatetime(release.since)
            message.channels = contract.input.channels
            message.height_px, message.width_px = contract.input.height, contract.input.width
            message.classes.extend(contract.classes)
        return message

    def _make_grpc(self) -> grpc.Server:
        settings = self.settings
        server = grpc.server(
            ThreadPoolExecutor(settings.callers, thread_name_prefix="call"),
            interceptors=[AccessInterceptor(self.operations.access)],
            maximum_concurrent_rpcs=settings.callers,
            options=[
                ("grpc.max_receive_message_length", settings.max_message_mib * MIB),
                ("grpc.so_reuseport", 0),  # a second server on the port is told, not mixed in
            ],
        )
        self.servicer.add_to(server)
        self._open_inference.add_to(server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        names = (INSPECTION, OPEN_INFERENCE, health.SERVICE, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, server)
        return server

    def _listen(self) -> str:
        address = self.settings.listen
        require_free(address)
        try:
            if self.settings.tls:
                credentials = self.settings.tls.credentials()
                port = self._grpc.add_secure_port(address, credentials)
            else:
                port = self._grpc.add_insecure_port(address)
        except RuntimeError as error:
            raise Unavailable(
                f"{address} cannot be listened on: is another server there? Give another --listen"
            ) from error
        host, colon, asked = address.rpartition(":")
        return f"{host}:{port}" if colon and asked == "0" else address

    def _listen_fast(self) -> None:
        """Take the address of the fast front, when one is wanted."""
        settings = self.settings
        if settings.fast_listen is None:
            return
        require_free(settings.fast_listen, "--fast-listen")
        listener, self.fast_address = listening(settings.fast_listen)
        plain: dict[str, Plain] = {f"/{INSPECTION}/GetServerInfo": self._info_message}
        limits = Limits(settings.max_message_mib * MIB, settings.callers)
        self._front = Front(listener, self._desk, self.turns, plain, limits, settings.callers)

    def _info_message(self, message: bytes, grant: Grant) -> tuple[str, pb.ServerInfo]:
        try:
            request = pb.ServerInfoRequest.FromString(message)
        except DecodeError as error:
            raise InvalidInput("the message is no ServerInfoRequest: send one") from error
        station = self.stations.of(request.line, grant.covers)
        info = self.info(station)
        info.lines.extend(filter(grant.covers, self.settings.lines))
        return str(station.line), info

    def _show_health(self) -> None:
        """Tell health clients what has changed; all lines must be well for the whole to be."""
        stations = self.stations.values()
        for station in stations:
            station.spool.try_again()
        states = health.services(self.operations.readiness(), INSPECTION, NEWEST_RELEASE)
        self._health.show({**states, SHIPPING: not any(map(self._is_behind, stations))})

    def _is_behind(self, station: Station) -> bool:
        limit_s = self.settings.ship_behind_s
        return station.spool.state().dropped > 0 or any(
            place.is_behind(limit_s) for place in station.shipping()
        )
