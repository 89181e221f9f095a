"""The commands about releases: what stands, and everything that is entered in the ledger."""

from __future__ import annotations

import getpass
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import click

from inspection.bundle import KIND
from resources.store import store_url
from store import artifacts, ledger
from store.artifacts import Artifact
from store.errors import InvalidInput, NotFound
from store.keys import LineKey
from store.ledger import Entry, Scope
from store.root import Store
from store.signing import configured_keys
from vision_assets import listing
from vision_assets.deployment import candidates
from vision_assets.deployment import promote as deployment
from vision_assets.deployment.candidates import Decider
from vision_assets.export.attached import gates_of
from vision_assets.options import either_line, json_option, require_known
from vision_assets.terminal import show_rows

_FORCE_HELP = "Release although gates failed."
_why = click.option("--why", default="", help="The reason; stays in the ledger.")
_bundle = click.option(
    "--bundle", default=None, help="Its name, or how it begins; default: the newest."
)
_number = click.option(
    "--release", "number", type=int, default=None, help="Its number; default: the only one."
)


@click.command()
@either_line
@json_option
def releases(line: LineKey, as_json: bool) -> None:
    """List the ledger of a line, oldest first, with what stands and who signed."""
    store = _open(line)
    known, keys = ledger.entries(store, line), configured_keys()
    roles = listing.roles(line, known, keys)
    rows = [listing.entry_row(line, entry, roles, keys) for entry in known]
    show_rows(rows, as_json, f"line {line} has no release")


@click.command()
@either_line
@json_option
def bundles(line: LineKey, as_json: bool) -> None:
    """List the bundles of a line, oldest first: figures, what stands, and what may be promoted.

    Names may be shortened in all commands, as far as they stay unambiguous.
    """
    store = _open(line)
    known, keys = ledger.entries(store, line), configured_keys()
    roles = listing.roles(line, known, keys)
    by_rank = sorted(known, key=lambda each: roles.get(each.number) in listing.STANDING)
    stands = {each.bundle: roles[each.number] for each in by_rank if each.number in roles}
    rows = [
        {**listing.bundle_row(store, line, each), **_promotable(store, line, each, stands)}
        for each in artifacts.every(store, line, KIND)
    ]
    show_rows(rows, as_json, f"line {line} has no bundle: `vision-assets run --line {line}`")


def _promotable(
    store: Store, line: LineKey, bundle: Artifact, stands: Mapping[str, str]
) -> dict[str, str]:
    """What a bundle is on the line, and whether its gates would let it be promoted now."""
    role = stands.get(bundle.name, "-")
    failed = [
        gate.name for gate in deployment.gates_now(store, line, bundle.name) if not gate.passed
    ]
    has_gates = bool(gates_of(store, line, bundle.name))
    reasons = [
        *([] if has_gates else ["no evidence"]),
        *([f"gates fail: {', '.join(failed)}"] if failed else []),
        *(["was given up"] if role == "given up" else []),
    ]
    return {"stands": role, "promotable": f"no: {'; '.join(reasons)}" if reasons else "yes"}


@click.command()
@either_line
@click.option("--time", default=None, help="ISO 8601; without a zone it is UTC. Default: now.")
@json_option
def at(line: LineKey, time: str | None, as_json: bool) -> None:
    """Say what stood on a line at a time: live, canaries, shadow."""
    store = _open(line)
    known, keys = ledger.entries(store, line), configured_keys()
    roles = listing.roles(line, known, keys, _moment(time) if time else None)
    standing = [each for each in known if roles.get(each.number) in listing.STANDING]
    rows = [listing.entry_row(line, entry, roles, keys) for entry in standing]
    show_rows(rows, as_json, f"nothing was live on {line}")


@click.command()
@either_line
@_bundle
@_why
@click.option("--force", metavar="REASON", default="", help=_FORCE_HELP)
@json_option
def promote(line: LineKey, bundle: str | None, why: str, force: str, as_json: bool) -> None:
    """Make a bundle the live release of its line."""
    store = _open(line)
    before = ledger.entries(store, line)
    by = _decider(why, force)
    entry = deployment.promote(
        store, line, _name(store, line, bundle), who=by.who, why=by.why, force=by.force
    )
    if not as_json:
        click.echo(_replaced(line, ledger.live(before), entry))
    _show(line, entry, as_json)


def _replaced(line: LineKey, before: Entry | None, entry: Entry) -> str:
    """What a promotion has changed, for people."""
    if before is None:
        return "nothing was live before"
    if entry.number == before.number:
        return "same bundle as live, nothing to promote"
    if entry.bundle == before.bundle:
        return f"same bundle as live ({before.release_of(line)}), signed anew"
    return f"replaces {before.release_of(line)}, bundle {before.bundle}"


@click.command()
@either_line
@click.option("--bundle", default=None, help="The bundle that is meant; default: the live one.")
@_why
@json_option
def sign(line: LineKey, bundle: str | None, why: str, as_json: bool) -> None:
    """Sign what is live, with the key in VISION_SIGNING_KEY; what answers stays as it is."""
    store = _open(line)
    before = len(ledger.entries(store, line))
    name = _name(store, line, bundle) if bundle else None
    entry = deployment.sign(store, line, name, who=getpass.getuser(), why=why)
    if entry.number <= before and not as_json:
        click.echo("signed with this key already, nothing to do")
    _show(line, entry, as_json)


@click.command()
@either_line
@click.option("--to", type=int, default=None, help="Number of the release; default: the last.")
@click.option("--why", required=True, help="The reason; stays in the ledger.")
@json_option
def rollback(line: LineKey, to: int | None, why: str, as_json: bool) -> None:
    """Make the bundle of an earlier release live again."""
    store = _open(line)
    _show(line, deployment.rollback(store, line, who=getpass.getuser(), why=why, to=to), as_json)


@click.command()
@either_line
@_bundle
@click.option("--camera", "cameras", multiple=True, help="Only frames of it; may be repeated.")
@click.option("--product", "products", multiple=True, help="Only frames of it; may be repeated.")
@click.option(
    "--share",
    default=100.0,
    show_default=True,
    type=click.FloatRange(0, 100, min_open=True),
    help="Percent of the parts, by hash of their serial.",
)
@_why
@click.option("--force", metavar="REASON", default="", help=_FORCE_HELP)
@json_option
def canary(
    line: LineKey,
    bundle: str | None,
    cameras: tuple[str, ...],
    products: tuple[str, ...],
    share: float,
    why: str,
    force: str,
    as_json: bool,
) -> None:
    """Let a bundle answer some frames: of cameras, of products, of a share of the parts."""
    store = _open(line)
    scope = Scope(cameras=cameras, products=products, share=share / 100)
    if scope == Scope():
        raise InvalidInput(
            "a canary answers some frames: give --share, --camera or --product; for all of them "
            f"there is `vision-assets promote {line}`"
        )
    name = _name(store, line, bundle)
    _show(line, candidates.canary(store, line, name, scope, _decider(why, force)), as_json)


@click.command()
@either_line
@_number
@_why
@json_option
def confirm(line: LineKey, number: int | None, why: str, as_json: bool) -> None:
    """Make the bundle of a canary live everywhere."""
    store = _open(line)
    _show(line, candidates.confirm(store, line, _decider(why), number), as_json)


@click.command()
@either_line
@_number
@click.option("--why", required=True, help="The reason; stays in the ledger.")
@json_option
def withdraw(line: LineKey, number: int | None, why: str, as_json: bool) -> None:
    """End a canary or the shadow."""
    store = _open(line)
    _show(line, candidates.withdraw(store, line, _decider(why), number), as_json)


@click.command()
@either_line
@_bundle
@_why
@json_option
def shadow(line: LineKey, bundle: str | None, why: str, as_json: bool) -> None:
    """Let a bundle answer beside the live one: recorded, never sent to the line."""
    store = _open(line)
    name = _name(store, line, bundle)
    _show(line, candidates.shadow(store, line, name, _decider(why)), as_json)


@click.command()
@either_line
@click.option(
    "--from",
    "source",
    required=True,
    type=click.Path(path_type=Path),
    help="A spool's folder, a folder of shipped decisions, or JSON lines of a spool.",
)
@json_option
def compare(line: LineKey, source: Path, as_json: bool) -> None:
    """Compare candidates with the live release by what they answered on the line."""
    from vision_assets.deployment import answers  # scipy takes a second to load
    from vision_assets.deployment import compare as reporting

    store = _open(line)
    try:
        answers.require_answers(source)
    except (NotFound, InvalidInput) as error:
        raise click.BadParameter(str(error), param_hint="--from") from error
    rows = answers.read(source, str(line))
    reports = reporting.compare(rows, line, ledger.entries(store, line))
    if as_json:
        click.echo(json.dumps([report.to_json() for report in reports], indent=2))
        return
    for report in reports:
        for text in listing.report_lines(report):
            click.echo(text)


COMMANDS = (
    releases,
    bundles,
    at,
    promote,
    sign,
    rollback,
    canary,
    confirm,
    withdraw,
    shadow,
    compare,
)


def _open(line: LineKey) -> Store:
    store = Store(store_url())
    require_known(store, line)
    return store


def _decider(why: str, force: str = "") -> Decider:
    reason = "; ".join(filter(None, (force, why)))
    return Decider(getpass.getuser(), reason, bool(force))


def _name(store: Store, line: LineKey, bundle: str | None) -> str:
    """The full name of the bundle that is meant: one that begins so, else the newest."""
    if bundle:
        return artifacts.named(store, line, KIND, bundle)
    current = artifacts.current(store, line, KIND)
    if current is None:
        raise NotFound(f"line {line} has no bundle: vision-assets run --line {line}")
    return current.name


def _show(line: LineKey, entry: Entry, as_json: bool) -> None:
    _tell_dagster(line, entry)
    show_rows([listing.entry_row(line, entry)], as_json, "")


def _tell_dagster(line: LineKey, entry: Entry) -> None:
    """Show a release in Dagster's UI; the ledger has it already, so a fault there is a warning."""
    from jobs.deploy import report_release

    try:
        report_release(line, entry)
    except Exception as error:  # noqa: BLE001 - whatever Dagster's storage raises
        said = f"the release is made, but Dagster's UI was not told of it: {error}"
        click.secho(f"warning: {said}", fg="yellow", err=True)


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput(f"--time {text!r} is not ISO 8601, such as 2026-11-21T14:20") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
