"""What a command looks at before it begins: settings that say nothing, addresses, spools."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path

from serve.addresses import require_free
from serve.segment import segments
from serve.settings import Settings
from store.errors import InvalidInput, NotFound
from store.keys import LineKey

_PREFIX = "VISION_SERVE_"
_SPOOLS = (
    "a server's spool is .vision/serve/SITE/LINE/spool where it was started, unless it was given "
    "--spool"
)


def remarks(settings: Settings, environment: Mapping[str, str]) -> Iterator[str]:
    """What somebody has set that has no effect, a sentence each; never a value, it may be secret.

    >>> from serve.settings import Settings
    >>> settings = Settings(store="s", lines=("a/b",))
    >>> next(remarks(settings, {"VISION_SERVE_WORKER": "2"}))
    'VISION_SERVE_WORKER is no setting and has no effect; did you mean VISION_SERVE_WORKERS?'
    """
    known = [f"{_PREFIX}{name.upper()}" for name in Settings.model_fields]
    for name in sorted(environment):
        if name.upper().startswith(_PREFIX) and name.upper() not in known:
            nearest = get_close_matches(name.upper(), known, n=1)
            hint = f"; did you mean {nearest[0]}?" if nearest else ""
            yield f"{name} is no setting and has no effect{hint}"
    for place in sorted(settings.weights):
        if not any(place == line or place.startswith(f"{line}/") for line in settings.lines):
            lines = ", ".join(settings.lines)
            yield f"the weight of {place} has no effect: this server has {lines}"


def require_addresses(settings: Settings) -> None:
    """Refuse an address of the fast front that cannot be taken, by the name of its option.

    Raises:
        InvalidInput: when both fronts are to have one address.
        Unavailable: when it cannot be listened on.
    """
    fast = settings.fast_listen
    if fast is None:
        return
    if fast == settings.listen and not fast.endswith(":0"):
        raise InvalidInput(f"--fast-listen and --listen are both {fast}: give each its own")
    require_free(fast, "--fast-listen")


def require_spool(folder: Path) -> None:
    """Refuse a folder that is no spool; one of a server that has had no frame yet is one.

    Raises:
        NotFound: when there is no such folder.
        InvalidInput: when it holds nothing of a spool.
    """
    if not folder.is_dir():
        raise NotFound(f"there is no folder {folder}: {_SPOOLS}")
    if not segments(folder) and not (folder / "lock").exists():
        raise InvalidInput(f"{folder} holds no spool files (*.spool): {_SPOOLS}")


def require_spools(settings: Settings) -> None:
    """Refuse lines that have no spool on this host: nothing could be shipped.

    Raises:
        NotFound: naming each, and the lines that have one.
    """
    missing = [line for line in settings.line_keys if not settings.spool_folder(line).is_dir()]
    if not missing:
        return
    known = ", ".join(map(str, _lines_with_spools(settings))) or "none"
    raise NotFound(
        "\n".join(
            [
                *(f"line {line} has no spool at {settings.spool_folder(line)}" for line in missing),
                f"lines with a spool here: {known}; {_SPOOLS}",
            ]
        )
    )


def _lines_with_spools(settings: Settings) -> list[LineKey]:
    """Lines whose spools are where the settings put them."""
    if settings.spool is None:
        found = Path(".vision/serve").glob("*/*/spool")
        return sorted(LineKey(path.parent.parent.name, path.parent.name) for path in found)
    found = (path.parent for path in settings.spool.glob("*/*/*.spool"))
    return sorted({LineKey(path.parent.name, path.name) for path in found})
