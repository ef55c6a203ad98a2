"""A report on disk: numbers as JSON, tables as Markdown, figures as PNG and SVG."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from ssatom.files import replacing
from studies.study import Report, Study, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FORMAT = "ssatom report"
_VERSION = 1
_JSON = orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file in one step; NaN becomes null."""
    _replace(path, orjson.dumps(content, option=_JSON, default=str))


def read_json(path: Path) -> Any:
    """The content of a JSON file; None if there is none, or only a part of one."""
    try:
        return orjson.loads(path.read_bytes())
    except (FileNotFoundError, orjson.JSONDecodeError):
        return None


def write_report(study: Study, report: Report, settings: Mapping[str, Any], folder: Path) -> None:
    """Write all files of a report; the JSON file is the last and marks it as complete."""
    folder.mkdir(parents=True, exist_ok=True)
    figures = {part: _write_figure(f, study, part, folder) for part, f in report.figures.items()}
    content = {
        "format": _FORMAT,
        "version": _VERSION,
        "study": study.name,
        "title": study.title,
        "settings": dict(settings),
        "tables": [vars(table) for table in report.tables],
        "reading": list(report.reading),
        "figures": list(figures.values()),
        "results": dict(report.results),
    }
    _replace(folder / f"{study.name}.md", markdown(content).encode())
    write_json(folder / f"{study.name}.json", content)


def read_report(path: Path) -> dict[str, Any] | None:
    """The content of a report's JSON file; None if there is none, or only a part of one."""
    content = read_json(path)
    whole = isinstance(content, dict) and content.get("format") == _FORMAT
    return content if whole and content.get("version") == _VERSION else None


def is_complete(path: Path, settings: Mapping[str, Any]) -> bool:
    """Whether there is a report with these settings and with all of its files."""
    content = read_report(path)
    if content is None or any(content["settings"].get(k) != v for k, v in settings.items()):
        return False
    files = [f"{stem}.{kind}" for stem in content["figures"] for kind in ("png", "svg")]
    return all((path.parent / file).exists() for file in [f"{path.stem}.md", *files])


def markdown(content: Mapping[str, Any]) -> str:
    """A report as Markdown."""
    settings = content["settings"]
    lines = [f"# {content['title']}", ""]
    if settings.get("quick"):
        lines += ["**Quick run: one split, a coarse grid, no slow descriptor.**", ""]
    lines += [paragraph + "\n" for paragraph in content["reading"]]
    for table in content["tables"]:
        lines += _markdown_table(Table(**table))
    lines += [f"![{stem}]({stem}.png)\n" for stem in content["figures"]]
    weights = settings["weights"]
    seconds = settings["seconds_of_splits"]
    fitting = f"; fitting and predicting took {seconds:.0f} s" if seconds else ""
    lines.append(
        f"Weights {weights['name']} ({weights['sha256'][:12]}), ssatom {settings['ssatom']}, "
        f"{settings['machine']}{fitting}."
    )
    return "\n".join(lines) + "\n"


def _markdown_table(table: Table) -> list[str]:
    rows = [table.columns, ["---"] * len(table.columns), *table.rows]
    return [f"**{table.title}**", "", *(f"| {' | '.join(row)} |" for row in rows), ""]


def _write_figure(figure: Figure, study: Study, part: str, folder: Path) -> str:
    from matplotlib import rc_context

    stem = study.name if not part else f"{study.name}-{part}"
    for kind in ("png", "svg"):
        metadata = {"Date": None} if kind == "svg" else None
        # The same figure is the same file: ids of an SVG are hashes of what they name and a salt.
        with replacing(folder / f"{stem}.{kind}") as new, rc_context({"svg.hashsalt": stem}):
            figure.savefig(new, format=kind, dpi=150, metadata=metadata)
    return stem


def _replace(path: Path, content: bytes) -> None:
    """Write a file in one step: a reader sees the old content or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as new:
        new.write_bytes(content)
