"""`vision-serve token`: who may do what, in the tokens file of this host."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from serve import tokens
from serve.tokens import ANYWHERE, Role, TokenRow
from serve.transport import fingerprint
from store.errors import InvalidInput

_file = click.option(
    "--file",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    envvar="VISION_SERVE_TOKENS",
    show_envvar=True,
    help="The tokens file.",
)
_json = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")


@click.group()
def token() -> None:
    """Make, list and revoke the tokens that clients show.

    A running server follows the file within a second.
    """


@token.command()
@_file
@click.option("--line", help="SITE/LINE that it is for.")
@click.option("--site", help="SITE whose lines it is for, all of them.")
@click.option("--everywhere", is_flag=True, help="For every line.")
@click.option(
    "--role",
    "roles",
    multiple=True,
    required=True,
    type=click.Choice([role.value for role in Role]),
    help="What it is for; repeatable.",
)
@click.option("--name", default="", help="Whose it is, for people.")
@click.option("--days", type=click.FloatRange(min=0, min_open=True), help="Days until it expires.")
@click.option(
    "--certificate",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Client certificate (PEM) that is to stand for a token, where mTLS is on.",
)
def create(  # noqa: PLR0913 - as click gives them
    path: Path,
    line: str | None,
    site: str | None,
    everywhere: bool,
    roles: tuple[str, ...],
    name: str,
    days: float | None,
    certificate: Path | None,
) -> None:
    """Make a token and print it, once: only its hash is kept. Or enter a client certificate."""
    scopes = [scope for scope in (line, site, ANYWHERE if everywhere else None) if scope]
    if len(scopes) != 1 or (line and "/" not in line) or (site and "/" in site):
        raise click.UsageError("give one of --line SITE/LINE, --site SITE and --everywhere")
    expires = None if days is None else datetime.now(UTC) + timedelta(days=days)
    granted = scopes[0], [Role(role) for role in roles], name, expires
    if certificate is None:
        click.echo(tokens.create(path, *granted))
        return
    sha256 = fingerprint(_read(certificate))
    row_id = tokens.admit(path, sha256, *granted)
    click.echo(f"certificate {certificate} (SHA-256 {sha256}) is entered as {row_id}")


@token.command("list")
@_file
@_json
def list_tokens(path: Path, as_json: bool) -> None:
    """The tokens of the file, without their secrets."""
    for row in tokens.rows(path, must_exist=True):
        about = row.model_dump(mode="json", exclude={"salt", "hash"})
        click.echo(json.dumps(about) if as_json else _line(row))


@token.command()
@click.argument("token_id")
@_file
def revoke(token_id: str, path: Path) -> None:
    """Take a token out of the file, by the id that `list` shows."""
    tokens.revoke(path, token_id)
    click.echo(f"token {token_id} is revoked")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}") from error


def _line(row: TokenRow) -> str:
    until = f"{row.expires_utc:%Y-%m-%d %H:%M} UTC" if row.expires_utc else "for ever"
    what = f"  certificate {row.certificate_sha256[:12]}…" if row.certificate_sha256 else ""
    return f"{row.id}  {','.join(row.roles):<16}  {row.scope:<24}  {until}  {row.name}{what}"
