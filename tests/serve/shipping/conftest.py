from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

POSTGRES = Path("/usr/lib/postgresql/15/bin")
PASSWORD = "s3cret-of-the-plant"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True)
class Database:
    """A PostgreSQL server of its own."""

    folder: Path
    port: int

    @property
    def dsn(self) -> str:
        return f"postgresql://vision@127.0.0.1:{self.port}/postgres"

    def control(self, *words: str) -> None:
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1"
        command = [str(POSTGRES / "pg_ctl"), "-D", str(self.folder / "data"), "-w"]
        command += ["-l", str(self.folder / "log"), "-o", options, *words]
        subprocess.run(as_postgres(command), check=True, stdout=subprocess.DEVNULL)


def as_postgres(command: list[str]) -> list[str]:
    return ["runuser", "-u", "postgres", "--", *command] if os.geteuid() == 0 else command


@pytest.fixture(scope="package")
def database() -> Iterator[Database]:
    """PostgreSQL on a private port, with a password."""
    if not (POSTGRES / "initdb").exists():
        pytest.skip("needs PostgreSQL 15: apt install postgresql-15")
    folder = Path(tempfile.mkdtemp(prefix="vision-pg-"))
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
    (folder / "password").write_text(PASSWORD)
    (folder / "password").chmod(0o644)
    made = Database(folder, free_port())
    initdb = [str(POSTGRES / "initdb"), "-D", str(folder / "data"), "-U", "vision", "--no-sync"]
    initdb += ["-A", "scram-sha-256", f"--pwfile={folder / 'password'}"]
    subprocess.run(as_postgres(initdb), check=True, stdout=subprocess.DEVNULL)
    made.control("start")
    try:
        yield made
    finally:
        made.control("-m", "immediate", "stop")
        shutil.rmtree(folder)


class Broker:
    """A mosquitto of its own, which asks for a password."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.folder = folder
        passwords = folder / "passwords"
        passwords.touch(0o600)
        make = ["mosquitto_passwd", "-b", str(passwords), "vision", PASSWORD]
        subprocess.run(make, check=True, stderr=subprocess.DEVNULL)
        for path in (folder, passwords):
            shutil.chown(path, "mosquitto") if os.geteuid() == 0 else None
        self.settings = [
            f"listener {self.port} 127.0.0.1",
            "allow_anonymous false",
            f"password_file {passwords}",
            "persistence true",
            f"persistence_location {folder}/",
            "autosave_interval 1",
        ]
        self.child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        (self.folder / "conf").write_text("\n".join([*self.settings, "user mosquitto", ""]))
        with open(self.folder / "log", "ab") as log:
            command = ["mosquitto", "-c", str(self.folder / "conf")]
            self.child = subprocess.Popen(command, stderr=log, stdout=log)
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert self.child.poll() is None, (self.folder / "log").read_text()
            time.sleep(0.02)

    def stop(self) -> None:
        if self.child is not None:
            self.child.kill()
            self.child.wait()
            self.child = None


@pytest.fixture
def broker() -> Iterator[Broker]:
    if shutil.which("mosquitto") is None or shutil.which("mosquitto_passwd") is None:
        pytest.skip("needs mosquitto: apt install mosquitto")
    folder = Path(tempfile.mkdtemp(prefix="vision-mqtt-"))
    made = Broker(folder)
    made.start()
    try:
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder)
