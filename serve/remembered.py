"""Which engine answered for each bundle on this host: kept over restarts, beside the cache."""

from __future__ import annotations

import logging
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from inspection.choose import Chosen
from store.errors import NotFound
from store.root import Store

_log = logging.getLogger(__name__)

FILE = "engines.json"
_MOST = 200
_Kept = TypeAdapter(dict[str, Chosen])


class Remembered:
    """The memory of one line; a file that cannot be read or written costs the memory only."""

    def __init__(self, folder: Path) -> None:
        """Keep it in `folder`."""
        self._place = Store(str(folder))

    def of(self, bundle: str) -> Chosen | None:
        """What answered for a bundle, or None when nothing is known of it."""
        return self._read().get(bundle)

    def keep(self, bundle: str, chosen: Chosen) -> None:
        """Remember what answers for a bundle from now on."""
        kept = self._read()
        if kept.get(bundle) == chosen:
            return
        kept.pop(bundle, None)
        kept[bundle] = chosen  # the last one is the newest
        newest = dict(list(kept.items())[-_MOST:])
        try:
            self._place.write(FILE, _Kept.dump_json(newest))
        except OSError as error:
            self._tell("the engine that was chosen cannot be remembered", error)

    def _read(self) -> dict[str, Chosen]:
        try:
            return _Kept.validate_json(self._place.read(FILE))
        except NotFound:
            return {}
        except (OSError, ValidationError) as error:
            self._tell("the engines that were chosen are not known any more", error)
            return {}

    def _tell(self, what: str, error: Exception) -> None:
        _log.error(what, extra={"file": f"{self._place.url}/{FILE}", "error": str(error)})
