"""The release ledger of a line: create-only entries, chained by hash; what stands is a fold.

Number orders; time never decreases. Entry N holds the hash of entry N-1, so that a changed or
missing entry is seen. `standing` says what the entries mean, `store.signing` which to believe.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from store import documents, layout
from store.errors import Conflict, Corrupt, NotFound
from store.hashing import canonical_json, sha256
from store.keys import LineKey
from store.root import Store

Action = Literal["promote", "rollback", "canary", "confirm", "shadow", "withdraw", "fallback"]
Document = Mapping[str, Any]
Sign = Callable[[LineKey, Document], Mapping[str, str]]
"""Gives the fields ``key`` and ``signature`` for an entry's document; see `store.signing`."""

MOST_CANARIES = 2
"""That are answered for at once: a server holds the engines of all that stands."""
_ENDS = frozenset({"confirm", "withdraw", "fallback"})


class Scope(BaseModel):
    """Which frames a canary answers: all that meet every condition that is stated."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cameras: tuple[str, ...] = Field((), description="cameras; empty: any")
    products: tuple[str, ...] = Field((), description="products; empty: any")
    share: float = Field(
        1.0, gt=0, le=1, description="share of the parts, by hash of their serial; 1: every frame"
    )

    def __str__(self) -> str:
        """For people, such as ``cameras cam-1, 10 % of parts``."""
        words = [
            f"{name} {' '.join(values)}"
            for name, values in (("cameras", self.cameras), ("products", self.products))
            if values
        ]
        if self.share < 1:
            words.append(f"{self.share * 100:g} % of parts")
        return ", ".join(words) or "every frame"


class Draft(BaseModel):
    """What somebody wants to enter.

    ``promote`` makes a bundle live, ``rollback`` the bundle of an earlier release. ``canary`` lets
    a bundle answer the frames of a scope, ``shadow`` lets it answer beside the live one without
    being heard. ``confirm`` makes the bundle of a canary live, ``withdraw`` ends a canary or
    shadow. ``fallback`` is a server's: it gives up a release and goes back to an earlier one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    action: Action
    bundle: str
    who: str = Field(min_length=1)
    why: str = ""
    forced: bool = Field(False, description="gates had failed; `why` is the reason given")
    evidence: dict[str, Any] = Field(default_factory=dict)
    scope: Scope | None = Field(None, description="of a canary")
    ends: int | None = Field(
        None, ge=1, description="entry that a confirm, withdraw or fallback is about"
    )

    @model_validator(mode="after")
    def _fits_its_action(self) -> Self:
        if (self.scope is not None) != (self.action == "canary"):
            raise ValueError("a canary has a scope, and nothing else has one")
        if (self.ends is not None) != (self.action in _ENDS):
            raise ValueError("confirm, withdraw and fallback name the entry they end, others none")
        return self


class Entry(Draft):
    """One entry of the ledger."""

    number: int = Field(ge=1)
    time: AwareDatetime
    previous: str = Field("", description="SHA-256 of the entry before; empty for the first")
    key: str = Field("", description="which key signed it; empty when nobody did")
    signature: str = Field("", description="Ed25519, in base64")

    def release_of(self, line: LineKey) -> str:
        """The name of the release this entry made, such as ``turin/press-3@17``."""
        return f"{line}@{self.number}"

    def document(self) -> dict[str, Any]:
        """The entry as it is stored: what hash and signature are taken of.

        Fields that later versions added are not in the documents of earlier ones.
        """
        return self.model_dump(mode="json", exclude_unset=True)


@dataclass(frozen=True)
class Standing:
    """What the entries up to a moment add up to.

    Attributes:
        live: Whose bundle answers wherever no canary does; None before the first.
        canaries: Those that stand, the most specific first.
        shadow: Whose bundle answers beside, unheard; or None.
        earlier: Releases that may be fallen back to, the last one first: each the latest entry
            that made its bundle live, without the live bundle and those that were given up.
        given_up: Bundles that were withdrawn, fallen back from or rolled back from, and that nobody
            has made live since.
    """

    live: Entry | None = None
    canaries: tuple[Entry, ...] = ()
    shadow: Entry | None = None
    earlier: tuple[Entry, ...] = ()
    given_up: frozenset[str] = frozenset()

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All that stand."""
        return tuple(filter(None, (self.live, *self.canaries, self.shadow)))


def entries(store: Store, line: LineKey) -> list[Entry]:
    """All entries of a line in order, with the chain checked.

    Raises:
        Corrupt: when an entry is missing, out of order or not the one that the next one names, or
            when this version cannot read it.
    """
    folder = layout.releases(line)
    numbers = documents.numbers(store, folder)
    return chained(folder, [(n, documents.read(store, folder, n)) for n in numbers])


def chained(where: str, numbered: Sequence[tuple[int, Document]]) -> list[Entry]:
    """Entries from their documents, with numbers and chain checked.

    Args:
        where: What the documents are, for messages.
        numbered: Each with its number, ascending.

    Raises:
        Corrupt: as `entries`.
    """
    found: list[Entry] = []
    previous = ""
    for position, (number, document) in enumerate(numbered, start=1):
        try:
            entry = Entry.model_validate(document)
        except ValidationError as error:
            raise Corrupt(
                f"{where}: entry {number} is none that this version can read ({_faults(error)}): "
                "update this program, or restore the ledger from a backup"
            ) from error
        if number != position or entry.number != number or entry.previous != previous:
            raise Corrupt(
                f"{where}: entry {number} does not follow entry {position - 1}; the ledger was "
                "changed outside this program: restore it from a backup"
            )
        previous = sha256(canonical_json(document))
        found.append(entry)
    return found


def _faults(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(map(str, each['loc'])) or 'entry'}: {each['msg']}" for each in error.errors()
    )


def append(
    store: Store,
    line: LineKey,
    draft: Draft,
    after: int | None = None,
    sign: Sign | None = None,
) -> Entry:
    """Append one entry.

    Args:
        store: Where the ledger is.
        line: Whose ledger.
        draft: What is entered.
        after: The number of the last entry the caller has seen; None for whatever is last.
        sign: Signs it; None leaves it unsigned.

    Raises:
        Conflict: when another writer appended an entry in between; nothing was changed.
    """
    known = entries(store, line)
    if after is not None and after != len(known):
        raise Conflict(f"{line}: release {len(known)} was made meanwhile; look and try again")
    folder = layout.releases(line)
    now = datetime.now(UTC)
    previous = ""
    if known:
        now = max(now, known[-1].time)
        previous = sha256(canonical_json(documents.read(store, folder, len(known))))
    entry = Entry.model_validate(
        {**draft.model_dump(), "number": len(known) + 1, "time": now, "previous": previous}
    )
    if sign is not None:
        entry = entry.model_copy(update=dict(sign(line, entry.document())))
    documents.create(store, folder, entry.number, entry.document())
    return entry


def live(known: Sequence[Entry], at: datetime | None = None) -> Entry | None:
    """The entry whose bundle answered at `at` (now when None) wherever no canary did, or None.

    Raises:
        ValueError: when `at` has no time zone.
    """
    return standing(known, at).live


def standing(known: Sequence[Entry], at: datetime | None = None) -> Standing:
    """What stood at `at` (now when None).

    A pure fold, which has an answer for any entries: one that ends what does not stand, or falls
    back to what may not be fallen back to, changes nothing.

    Raises:
        ValueError: when `at` has no time zone.
    """
    if at is not None and at.tzinfo is None:
        raise ValueError("`at` needs a time zone")
    state = Standing()
    for each in known:
        if at is None or each.time <= at:
            state = _after(state, each)
    return state


def _after(state: Standing, entry: Entry) -> Standing:
    """What stands after one more entry."""
    match entry.action:
        case "promote":
            return _live_with(state, entry)
        case "rollback":
            return _live_with(state, entry, given_up=state.live)
        case "canary" | "shadow":
            return _beside(state, entry)
        case "confirm":
            return _live_with(state, entry) if _ended(state.canaries, entry) else state
        case "withdraw":
            return _without(state, entry)
        case "fallback":
            return _fallen_back(state, entry)


def _live_with(state: Standing, entry: Entry, given_up: Entry | None = None) -> Standing:
    """The entry's bundle is live; what it stood as before is over."""
    bundle, before = entry.bundle, state.live
    barred = {*state.given_up, *({given_up.bundle} if given_up else ())} - {bundle}
    earlier = (*((before,) if before else ()), *state.earlier)
    return Standing(
        live=entry,
        canaries=tuple(each for each in state.canaries if each.bundle != bundle),
        shadow=state.shadow if state.shadow and state.shadow.bundle != bundle else None,
        earlier=_targets(earlier, barred | {bundle}),
        given_up=frozenset(barred),
    )


def _beside(state: Standing, entry: Entry) -> Standing:
    """A canary replaces one of the same bundle, a shadow any other; the live bundle is neither."""
    if state.live and state.live.bundle == entry.bundle:
        return state
    if entry.action == "shadow":
        return replace(state, shadow=entry)
    others = (each for each in state.canaries if each.bundle != entry.bundle)
    canaries = sorted((*others, entry), key=_specificity, reverse=True)
    return replace(state, canaries=tuple(canaries))


def _without(state: Standing, entry: Entry) -> Standing:
    """A canary or the shadow is ended, and its bundle given up unless it is the live one."""
    ended = _ended((*state.canaries, state.shadow), entry)
    if ended is None:
        return state
    barred = state.given_up | {ended.bundle} - ({state.live.bundle} if state.live else set())
    return replace(
        state,
        canaries=tuple(each for each in state.canaries if each != ended),
        shadow=None if state.shadow == ended else state.shadow,
        earlier=_targets(state.earlier, barred),
        given_up=barred,
    )


def _fallen_back(state: Standing, entry: Entry) -> Standing:
    """A server gave up the live release for an earlier one, or a canary for the live release."""
    if _ended(state.canaries, entry) and state.live and entry.bundle == state.live.bundle:
        return _without(state, entry)
    target = {each.bundle for each in state.earlier}
    if state.live is None or state.live.number != entry.ends or entry.bundle not in target:
        return state
    return _live_with(state, entry, given_up=state.live)


def _ended(among: Sequence[Entry | None], entry: Entry) -> Entry | None:
    """The one of these that an entry ends."""
    return next((each for each in among if each and each.number == entry.ends), None)


def _targets(earlier: Sequence[Entry], barred: Set[str]) -> tuple[Entry, ...]:
    """One entry a bundle, the first of each, without those that are barred."""
    found: dict[str, Entry] = {}
    for each in earlier:
        if each.bundle not in barred:
            found.setdefault(each.bundle, each)
    return tuple(found.values())


def _specificity(canary: Entry) -> tuple[int, float, int]:
    """More conditions are more specific, then a smaller share, then the later entry."""
    scope = canary.scope or Scope()
    return bool(scope.cameras) + bool(scope.products), -scope.share, canary.number


def entry(store: Store, line: LineKey, number: int) -> Entry:
    """The entry of that number.

    Raises:
        NotFound: when there is none.
    """
    known = entries(store, line)
    if not 1 <= number <= len(known):
        raise NotFound(f"line {line} has no release {number}; it has 1 to {len(known)}")
    return known[number - 1]
