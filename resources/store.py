"""The store as a Dagster resource, and where things are when the environment does not say."""

import os
from pathlib import Path

import dagster as dg
from pydantic import Field

from store.root import Store

STORE_VARIABLE = "VISION_STORE"
HOME_VARIABLE = "DAGSTER_HOME"
_DEFAULT_STORE = Path(".vision/store")
_DEFAULT_HOME = Path(".vision/dagster")


class StoreResource(dg.ConfigurableResource[Store]):
    """Opens the store."""

    url: str = Field(
        "", description="folder or file:// URL; empty: $VISION_STORE, else .vision/store"
    )

    def open(self) -> Store:
        """The store at `url`, else at ``VISION_STORE``, else below the current folder."""
        return Store(self.url or store_url())


def store_url() -> str:
    """``VISION_STORE``, else a folder below the current one."""
    return os.environ.get(STORE_VARIABLE) or str(_DEFAULT_STORE.absolute())


def dagster_home() -> Path:
    """``DAGSTER_HOME``, else a folder below the current one."""
    return Path(os.environ.get(HOME_VARIABLE) or _DEFAULT_HOME.absolute())
