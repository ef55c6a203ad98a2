"""Pages of the paper's tables and figures, from the files of examples/paper/reproduce.py."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from _terms import terms_in

from studies.registry import STUDIES


def write_paper_pages(results: Path, folder: Path) -> None:
    """Write a page for each study into `folder`, and ``index.rst``, the list of their findings.

    Parameters
    ----------
    results : Path
        Output folder of ``examples/paper/reproduce.py``.
    folder : Path
        For the pages; made anew.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    summary, pages = [], []
    for name in STUDIES:
        file = results / f"{name}.json"
        if not file.exists():
            continue
        content = json.loads(file.read_text(encoding="utf-8"))
        (folder / f"{name}.rst").write_text(_page(content, results), encoding="utf-8")
        pages.append(name)
        summary += [f":doc:`{content['title']} <{name}>`", ""]
        summary += [line for text in content["reading"] for line in (f"    {text}", "")]
    toc = [".. toctree::", "   :hidden:", "", *(f"   {name}" for name in pages)]
    head = ["All tables and figures", "======================", ""]
    text = "\n".join([*head, *summary, *terms_in("\n".join(summary)), *toc]) + "\n"
    (folder / "index.rst").write_text(text, encoding="utf-8")


def _page(content: dict[str, Any], results: Path) -> str:
    settings, title = content["settings"], content["title"]
    lines = [title, "=" * len(title), ""]
    for paragraph in content["reading"]:
        lines += [paragraph, ""]
    for stem in content["figures"]:
        # Relative to the folder of documents, as a path that begins with a slash is.
        path = f"/{(results / stem).relative_to(Path(__file__).parent).as_posix()}"
        lines += [f".. image:: {path}.png", f"   :alt: {title}", ""]
    for table in content["tables"]:
        lines += [f".. list-table:: {table['title']}", "   :header-rows: 1", ""]
        for row in [table["columns"], *table["rows"]]:
            cells = [f"     - {cell}".rstrip() for cell in row]
            cells[0] = f"   * - {row[0]}".rstrip()
            lines += cells
        lines.append("")
    lines += terms_in("\n".join(lines))
    weights, hashes = settings["weights"], settings["data"]
    minutes = settings["seconds_of_splits"] / 60
    fitting = f"; fitting and predicting all splits took {minutes:.1f} minutes, one core each"
    lines += [
        f"Weights ``{weights['name']}`` (sha256 {weights['sha256'][:12]}…), ssatom "
        f"{settings['ssatom']}, {settings['machine']}{fitting if minutes else ''}.",
        "",
        *(f"- ``{file}``, sha256 {sha256[:12]}…" for file, sha256 in hashes.items()),
        "",
        f"Computed by ``python examples/paper/reproduce.py {content['study']}``.",
    ]
    return "\n".join(lines) + "\n"
