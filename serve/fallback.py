"""Where to go when a release was given up, and what the ledger is told: pure rules."""

from __future__ import annotations

from collections.abc import Mapping

from serve.release import LiveSet
from store.ledger import Draft, Entry, Standing


def targets(stands: Standing, given_up: Mapping[int, str]) -> list[Entry]:
    """Whose bundle is to answer: the live entry's, else that of the last good one, and so on.

    When nothing else is to be had, one that was given up answers: better over its limits than
    nobody. (One that fails its golden frames fails them again.)
    """
    if stands.live is None:
        return []
    good = [each for each in (stands.live, *stands.earlier) if each.number not in given_up]
    return good if stands.live in good else [*good, stands.live]


def fallback(
    stands: Standing, ready: LiveSet, given_up: Mapping[int, str], host: str
) -> Draft | None:
    """The entry that tells the ledger of something given up; None when there is nothing to tell.

    Only what answers in its place is named, and only when the ledger would let it.
    """
    for entry in (stands.live, *stands.canaries):
        if entry is None or entry.number not in given_up or ready.live is None:
            continue
        bundle = ready.live.bundle.name
        is_live = entry is stands.live
        may = {each.bundle for each in stands.earlier} if is_live else _bundle_of(stands.live)
        if bundle in may:
            return Draft(
                action="fallback",
                bundle=bundle,
                who=host,
                why=given_up[entry.number],
                evidence={"host": host, "answering": ready.live.name},
                ends=entry.number,
            )
    return None


def _bundle_of(entry: Entry | None) -> set[str]:
    return {entry.bundle} if entry else set()
