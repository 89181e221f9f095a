"""A plant of one line in a folder of its own: commands, a real Dagster instance, a server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zlib import crc32

from store.keys import LineKey
from store.root import Store

LINE = LineKey("turin", "press-3")
# Small and quick; the limits let even a poor model go live, its quality is not what is tested here.
SETTINGS = """
training: {height_px: 96, width_px: 96, epochs: 2, batch_size: 8}
limits: {max_escape_rate: 1, max_overkill_rate: 1, max_review_share: 1, max_latency_ms: 60000}
"""


class Plant:
    """A store, an instance and the commands in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = Store(str(folder / "store"))
        self.environment = {
            **os.environ,
            "VISION_STORE": self.store.url,
            "DAGSTER_HOME": str(folder / "dagster"),
        }

    def command(self, *words: str, status: int = 0) -> str:
        """What a command prints; it must end with `status`."""
        program = str(Path(sys.executable).with_name(words[0]))
        done = subprocess.run(
            [program, *words[1:]],
            capture_output=True,
            text=True,
            env=self.environment,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout if status == 0 else done.stdout + done.stderr

    def deliver(self, batch: str) -> Path:
        """Render a batch; the file of the settings that make its line quick to train."""
        words = [
            "simulate",
            "--line",
            str(LINE),
            "--batch",
            batch,
            "--seed",
            str(crc32(batch.encode())),
        ]
        self.command("vision-assets", *words, "--frames", "70", "--defect-rate", "0.4")
        settings = self.folder / "line.yaml"
        settings.write_text(SETTINGS)
        return settings

    def run(self, *options: str) -> dict[str, Any]:
        """``vision-assets run … --json``."""
        out = self.command("vision-assets", "run", "--line", str(LINE), *options, "--json")
        result: dict[str, Any] = json.loads(out)
        return result

    @contextmanager
    def server(self) -> Iterator[str]:
        """The address of a running server; it must end well when told to."""
        program = str(Path(sys.executable).with_name("vision-serve"))
        words = ["run", "--store", self.store.url, "--line", str(LINE), "--listen", "127.0.0.1:0"]
        folders = ["--cache", str(self.folder / "cache"), "--spool", str(self.folder / "spool")]
        with subprocess.Popen(
            [program, *words, *folders],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=self.environment,
        ) as process:
            assert process.stdout is not None
            ready = process.stdout.readline()
            try:
                yield ready.split(" on ")[1].split(": ")[0]
            finally:
                process.send_signal(signal.SIGTERM)
                assert process.wait(timeout=30) == 0
