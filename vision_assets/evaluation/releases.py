"""The gate `not_worse`: a new evaluation against the live and the best earlier release.

Against the best too: a little worse each time would pass every comparison with the last.
"""

from __future__ import annotations

import json

import polars as pl

from inspection.bundle import KIND as BUNDLES
from inspection.evidence import Gate
from store import artifacts, ledger, tables
from store.errors import InvalidInput
from store.keys import LineKey
from store.ledger import Entry
from store.root import Store
from vision_assets import config
from vision_assets.config import LineConfig
from vision_assets.evaluation.compare import Comparison, compare
from vision_assets.evaluation.evaluate import predictions

# What export attaches to a bundle; it names the evaluation.
PROVENANCE = "provenance.json"

_LIVE, _BEST = "not_worse_than_live", "not_worse_than_best"
GATES = frozenset({_LIVE, _BEST})
"""Names of the gates that `not_worse` decides."""


def not_worse(store: Store, line: LineKey, evaluation: str) -> list[Gate]:
    """Gates ``not_worse_than_live`` and ``not_worse_than_best``; none before the first release.

    The best is the earlier release of the lowest cost on the test parts that both have judged.

    Args:
        store: Where everything is.
        line: Whose evaluation and releases.
        evaluation: Name of the new one.
    """
    known = ledger.entries(store, line)
    live = ledger.live(known)
    if live is None:
        return []
    settings, new = config.load(store, line), predictions(store, line, evaluation)
    # Candidates that were only tried are no standard.
    known = [entry for entry in known if entry.action in ("promote", "rollback", "confirm")]
    found = {entry.bundle: _against(store, line, entry, new, settings) for entry in known}
    compared = {bundle: each for bundle, each in found.items() if isinstance(each, Comparison)}
    gates = [_gate(_LIVE, live.release_of(line), found[live.bundle])]
    if compared:
        best = min(compared, key=lambda bundle: compared[bundle].cost_old)
        name = next(e.release_of(line) for e in known if e.bundle == best)
        gates.append(_gate(_BEST, name, compared[best]))
    return gates


def _against(
    store: Store, line: LineKey, entry: Entry, new: pl.DataFrame, settings: LineConfig
) -> Comparison | str:
    """The comparison with a release, or why there is none."""
    attached = artifacts.attachments(store, line, BUNDLES, entry.bundle)
    if PROVENANCE not in attached:
        return "it was released without evidence"
    provenance = json.loads(tables.read_verified(store, attached[PROVENANCE]))
    old = predictions(store, line, provenance["evaluation"])
    try:
        return compare(new, old, settings.costs, settings.limits.confidence)
    except InvalidInput as error:
        return str(error)


def _gate(name: str, release: str, found: Comparison | str) -> Gate:
    if isinstance(found, str):
        message = f"cannot be compared with {release}: {found}; promote with --force REASON"
        return Gate(name=name, passed=False, message=message)
    difference = found.cost_new - found.cost_old
    message = (
        f"on {found.parts} common test parts a part costs {found.cost_new:.3g}, with {release} "
        f"{found.cost_old:.3g} (difference {found.low:.3g} to {found.high:.3g}); "
        f"{len(found.new_escapes)} new escapes, {len(found.mended_escapes)} mended"
    )
    if found.is_worse:
        message += ": look at the new escapes, deliver more frames like them and train again"
    return Gate(
        name=name,
        passed=not found.is_worse,
        value=difference,
        limit=0,
        message=message,
        details=found.to_json(),
    )
