from __future__ import annotations

from pathlib import Path

import pytest

from serve.settings import Settings, load
from store.errors import InvalidInput

GIVEN: dict[str, object] = {"store": "/tmp/store", "lines": "turin/press-3"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("store", ""),
        ("store", "memory://x"),
        ("store", "s3://bucket"),
        ("lines", "turin"),
        ("lines", "Turin/Press 3"),
        ("listen", "50051"),
        ("listen", "localhost:"),
        ("listen", ":50051"),
        ("listen", "localhost:65536"),
        ("listen", "unix:"),
        ("workers", 0),
        ("workers", 257),
        ("callers", 0),
        ("callers", 1025),
        ("cached_bundles", 0),
        ("cached_bundles", 101),
        ("commit_ms", 0.4),
        ("commit_ms", 1001),
        ("spool_max_mib", 0),
        ("spool_segment_mib", 0),
        ("spool_segment_mib", 1025),
        ("poll_s", 0),
        ("poll_s", 61),
        ("retry_s", 0),
        ("retry_s", 3601),
        ("max_message_mib", 0),
        ("max_message_mib", 1025),
        ("max_pixels", 0),
        ("drain_s", -1),
        ("drain_s", 601),
        ("host", ""),
        ("host", "line pc"),
        ("host", "x" * 101),
        ("log_level", "loud"),
        ("strict", "perhaps"),
        ("nonsense", 1),
    ],
)
def test_bad_values_are_named(name: str, value: object) -> None:
    with pytest.raises(InvalidInput, match=name):
        load(GIVEN | {name: value})


def test_all_faults_are_named_at_once() -> None:
    with pytest.raises(InvalidInput) as raised:
        load({"workers": 0, "poll_s": 0})
    assert all(name in str(raised.value) for name in ("store", "line", "workers", "poll_s"))


def test_environment_fills_what_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISION_SERVE_WORKERS", "7")
    monkeypatch.setenv("VISION_SERVE_POLL_S", "2.5")
    settings = load(GIVEN | {"workers": None, "poll_s": 3})
    assert (settings.workers, settings.poll_s) == (7, 3)


def test_folders_are_named_after_the_line() -> None:
    settings = load(GIVEN)
    (line,) = settings.line_keys
    assert settings.spool_folder(line) == Path(".vision/serve/turin/press-3/spool")
    assert settings.cache_folder(line) == Path(".vision/serve/turin/press-3/cache")
    given = load(GIVEN | {"spool": Path("s"), "cache": Path("c")})
    assert (given.spool_folder(line), given.cache_folder(line)) == (Path("s"), Path("c"))
    several = load(GIVEN | {"spool": Path("s"), "lines": "turin/press-3,turin/press-4"})
    assert several.spool_folder(line) == Path("s/turin/press-3")


@pytest.mark.parametrize(
    ("listen", "is_loopback"),
    [
        ("127.0.0.1:1", True),
        ("localhost:1", True),
        ("[::1]:1", True),
        ("unix:/run/vision", True),
        ("0.0.0.0:1", False),
        ("[::]:1", False),
        ("10.1.2.3:1", False),
    ],
)
def test_loopback_is_known(listen: str, is_loopback: bool) -> None:
    settings = load(GIVEN | {"listen": listen, "allow_insecure": True})
    assert settings.is_loopback is is_loopback


def test_every_setting_says_what_it_is_and_is_documented() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "guides" / "serve.md").read_text()
    for name, field in Settings.model_fields.items():
        assert field.description
        assert f"`{name}`" in guide, f"docs/guides/serve.md does not name the setting {name}"
