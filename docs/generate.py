"""Writes the generated pages of `docs/reference`: ``python docs/generate.py``.

`tests/test_docs.py` fails when a page is not what this writes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
from pydantic import BaseModel

FOLDER = Path(__file__).parent / "reference"

HOSTS_OWN = {"host": "this host's name", "workers": "cores of this process"}
"""Defaults that differ from host to host, in words."""


def pages() -> dict[str, str]:
    """Every generated page by file name."""
    from serve.cli import main as serve_cli
    from serve.settings import Settings
    from vision_assets.cli import cli
    from vision_assets.config import LineConfig

    return {
        "line-settings.md": _settings(
            "Settings of a line",
            "Given to `vision-assets run --config FILE` as YAML and kept; `vision-assets settings "
            "SITE/LINE`\nshows what is in force. The file states the sections `ingest`, `split`, "
            "`training`, `costs` and\n`limits` completely: what it does not name there is the "
            "default. What a delivery found out (the\nsettings outside sections, and "
            "`ingest.channels`) stays unless the file names it.",
            LineConfig,
        ),
        "server-settings.md": _settings(
            "Settings of the server",
            "Options of `vision-serve run`, or environment variables `VISION_SERVE_…`.",
            Settings,
        ),
        "commands.md": _commands({"vision-assets": cli, "vision-serve": serve_cli}),
    }


def _settings(title: str, intro: str, model: type[BaseModel]) -> str:
    rows = [f"# {title}", "", intro, "", "| setting | default | meaning |", "|---|---|---|"]
    return "\n".join([*rows, *_rows(model, "")]) + "\n"


def _rows(model: type[BaseModel], prefix: str) -> list[str]:
    found = []
    for name, field in model.model_fields.items():
        default = field.get_default(call_default_factory=True)
        if isinstance(default, BaseModel):
            found += _rows(type(default), f"{prefix}{name}.")
            continue
        bounds = ", ".join(filter(None, map(_bound, field.metadata)))
        shown = HOSTS_OWN.get(name) or ("required" if field.is_required() else f"`{default!r}`")
        meaning = "; ".join(filter(None, (field.description, bounds)))
        found.append(f"| `{prefix}{name}` | {shown} | {meaning.replace('|', '/')} |")
    return found


def _bound(bound: object) -> str:
    """One bound of a field in words; empty for other metadata."""
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<", "multiple_of": "a multiple of"}
    known = [(sign, getattr(bound, name, None)) for name, sign in signs.items()]
    return " ".join(f"{sign} {value}" for sign, value in known if value is not None)


def _commands(groups: dict[str, click.Group]) -> str:
    parts = ["# Commands", ""]
    for program, group in groups.items():
        for name, command in _flat(group, ""):
            settings = {"max_content_width": 100, **group.context_settings}
            context = click.Context(command, info_name=f"{program} {name}", **settings)
            parts += [f"## {program} {name}", "", "```", command.get_help(context), "```", ""]
    return "\n".join(parts)


def _flat(group: click.Group, prefix: str) -> Iterator[tuple[str, click.Command]]:
    """The commands of a group and of the groups in it, by what is typed."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from _flat(command, f"{prefix}{name} ")
        else:
            yield prefix + name, command


if __name__ == "__main__":
    for file, text in pages().items():
        (FOLDER / file).write_text(text)
