"""Finding a pretrained backbone: a local folder, the hub's cache, the hub.

Without torch: the process that orchestrates asks for a backbone's hash before it starts training.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from store.errors import InvalidInput

_WEIGHTS = "model.safetensors"
_FILES = ["config.json", "preprocessor_config.json", _WEIGHTS]
_PATH_STARTS = ("/", ".", "~")


def find(name: str) -> Path | None:
    """The local folder of a backbone, fetched from the hub if need be.

    Args:
        name: A local folder or a hub name.

    Returns:
        None for an empty name, or when the hub cannot be reached.

    Raises:
        InvalidInput: when the folder or the hub's repository does not exist or holds no weights as
            safetensors (others are pickles, which run code when read).
    """
    if not name:
        return None
    folder = Path(name).expanduser()
    if not folder.is_dir():
        if name.startswith(_PATH_STARTS):
            raise InvalidInput(f"backbone {name!r}: there is no such folder")
        fetched = _fetch(name)
        if fetched is None:
            return None
        folder = fetched
    missing = [file for file in ("config.json", _WEIGHTS) if not (folder / file).is_file()]
    if missing:
        raise InvalidInput(
            f"backbone {name!r}: {folder} has no {' and no '.join(missing)}; expected a model of "
            "`transformers` with weights as safetensors"
        )
    return folder


def content_hash(folder: Path) -> str:
    """The hash of the files that determine a backbone."""
    digest = hashlib.sha256()
    for file in _FILES:
        path = folder / file
        digest.update(
            file.encode() + hashlib.sha256(path.read_bytes()).digest() if path.is_file() else b"-"
        )
    return digest.hexdigest()


def _fetch(name: str) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    for only_cache in (True, False):
        try:
            return Path(snapshot_download(name, allow_patterns=_FILES, local_files_only=only_cache))
        except (RepositoryNotFoundError, HFValidationError) as error:
            raise InvalidInput(f"backbone {name!r} is neither a folder nor on the hub") from error
        except (LocalEntryNotFoundError, HfHubHTTPError):
            continue
    return None
