"""Hooks of mkdocs: the pages of the reference, made from the code, and the check that what is public is documented."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import griffe
import typer.main
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

import ztb.errors
from ztb.cli import app
from ztb.config import Config, schema
from ztb.errors import ZtbError
from ztb.telemetry.metrics import described

_HERE = Path(__file__).resolve().parent
_ROOT = _HERE.parents[1]
_INCLUDED = {
    "reference/layouts.md": _ROOT / "daemon/ztb/market/importers/LAYOUTS.md",
    "reference/mqtt.md": _ROOT / "daemon/ztb/telemetry/mqtt/MQTT.md",
    "reference/figures.md": _ROOT / "tests/benchmarks/RESULTS.md",
}
# A warning of this logger fails a strict build.
_log = logging.getLogger("mkdocs.hooks.reference")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages, and say what is not documented."""
    made = {
        "reference/configuration.md": "\n".join(configuration()),
        "reference/commands.md": "\n".join(commands()),
        "reference/metrics.md": "\n".join(metrics()),
        "reference/exit-codes.md": "\n".join(exit_codes()),
        **{page: source.read_text(encoding="utf-8") for page, source in _INCLUDED.items()},
        **{f"notebooks/{path.stem}.md": notebook(path) for path in (_HERE / "notebooks").glob("*.ipynb")},
    }
    for page, text in made.items():
        files.append(File.generated(config, page, content=text))
    for name in undocumented(_HERE / "pages" / "reference"):
        _log.warning("%s is public and has no docstring", name)
    return files


def undocumented(pages: Path) -> Iterator[str]:
    """Public names that the pages of the reference show (`::: name`) and that have no docstring."""
    loader = griffe.GriffeLoader(search_paths=[_ROOT / "daemon"])
    package = loader.load("ztb")
    loader.resolve_aliases()
    for page in sorted(pages.glob("*.md")):
        for name in re.findall(r"^::: ztb\.(\S+)$", page.read_text(encoding="utf-8"), re.MULTILINE):
            yield from _undocumented(package[name])


def _undocumented(item: Any) -> Iterator[str]:
    if not item.has_docstring:
        yield item.path
    if item.is_module or item.is_class:
        for name, member in item.members.items():
            if not name.startswith("_") and not member.is_alias and not member.is_attribute:
                yield from _undocumented(member)


def notebook(path: Path) -> str:
    """A notebook as a page: its words, and its code in blocks."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    texts = ["".join(cell["source"]) for cell in cells]
    return "\n\n".join(
        text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```"
        for cell, text in zip(cells, texts, strict=True)
    )


def configuration() -> Iterator[str]:
    """Every setting: type, bounds, default, meaning."""
    described_by = schema()
    defaults = Config().model_dump(mode="json")
    yield "# Configuration\n"
    yield (
        "One file, `trade-config.json`, strict: an unknown key is an error that names the nearest known one. A flag "
        "beats the environment (`ZTB_<SECTION>__<KEY>`), the environment the file, the file the default; "
        "`ztb config show --config FILE` says where each value came from, `ztb config check` what is wrong. "
        "Secrets never stand in it.\n"
    )
    for section, values in defaults.items():
        reference = str(described_by["properties"][section])
        kind = re.search(r"#/\$defs/(\w+)", reference)
        assert kind is not None
        definition = described_by["$defs"][kind[1]]
        yield f"## {section}\n\n{_flat(definition.get('description', ''))}\n"
        yield "| key | what it may be | default | meaning |\n|---|---|---|---|"
        for key, item in definition["properties"].items():
            if "description" not in item:
                _log.warning("setting %s.%s has no description", section, key)
            yield f"| `{key}` | {_allowed(item)} | `{_json(values[key])}` | {_flat(item.get('description', ''))} |"
        yield ""


def _allowed(item: dict[str, Any]) -> str:
    """Type and bounds in words."""
    if "anyOf" in item:
        return " or ".join(_allowed(one) for one in item["anyOf"])
    if "enum" in item:
        return ", ".join(f"`{value}`" for value in item["enum"])
    bounds = {
        "minimum": "from {}", "exclusiveMinimum": "above {}", "maximum": "to {}", "exclusiveMaximum": "below {}",
    }  # fmt: skip
    words = [text.format(f"{item[name]:g}") for name, text in bounds.items() if name in item]
    return " ".join([str(item.get("type", "any")), *words])


def _json(value: Any) -> str:
    text = str(value)
    return {"None": "null", "True": "true", "False": "false"}.get(text, text)


def _flat(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def commands() -> Iterator[str]:
    """Every verb with its arguments and options, as `--help` shows them."""
    yield "# Command line\n\nEvery verb has `--help`; exit codes are [listed here](exit-codes.md).\n"
    yield from _command("ztb", typer.main.get_command(app))


def _command(name: str, command: Any) -> Iterator[str]:
    children = getattr(command, "commands", {})
    if not children:
        yield f"## {name}\n\n{_flat(command.help or '')}\n"
        if not command.help:
            _log.warning("the command %s has no help", name)
        yield "| argument | meaning |\n|---|---|"
        for one in command.params:
            if one.name == "help":
                continue
            shown = (
                ", ".join(one.opts) if one.param_type_name == "option" else (one.metavar or one.name.upper())
            )
            value = f" {one.metavar}" if one.metavar and one.param_type_name == "option" else ""
            yield f"| `{shown}{value}` | {_flat(getattr(one, 'help', None) or '')} |"
        yield ""
    for child, made in sorted(children.items()):
        yield from _command(f"{name} {child}", made)


def metrics() -> Iterator[str]:
    """Every Prometheus metric."""
    yield "# Metrics\n"
    yield (
        "Served at `/metrics` where `telemetry.web_listen` says. `config/grafana-dashboard.json` and "
        "`config/prometheus-alerts.yml` are made for them.\n"
    )
    yield "| metric | kind | labels | meaning |\n|---|---|---|---|"
    for name, kind, labels, text in described():
        yield f"| `{name}` | {kind} | {', '.join(f'`{label}`' for label in labels)} | {_flat(text)} |"


def exit_codes() -> Iterator[str]:
    """Exit codes and the errors that end in them."""
    yield "# Exit codes\n"
    yield (
        "0: done. 130: interrupted. Every other ending is an error that says who must act; in Python it is raised, "
        "from `ztb.errors`. systemd does not restart after 2, 3 and 78: somebody must act first.\n"
    )
    yield "| code | error | meaning |\n|---|---|---|"
    found = [
        item for item in vars(ztb.errors).values() if isinstance(item, type) and issubclass(item, ZtbError)
    ]
    for one in sorted(found, key=lambda error: error.exit_code):
        yield f"| {one.exit_code} | `{one.__name__}` | {_flat((one.__doc__ or '').splitlines()[0])} |"
