"""Sphinx settings."""

from __future__ import annotations

import sys
import tomllib
import warnings
from pathlib import Path

root = Path(__file__).parents[1]
sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(root / "examples" / "paper"))
sys.path.insert(0, str(root))  # the checkout is documented, whatever is installed

from _cli_page import write_cli_page  # noqa: E402
from _home_table import write_home_table  # noqa: E402
from _paper_pages import write_paper_pages  # noqa: E402
from _speed_page import write_speed_page  # noqa: E402
from _terms import write_terms_page  # noqa: E402
from _weights_page import write_weights_page  # noqa: E402

import ssatom  # noqa: E402

# Examples use crystals of heavy alkali metals, whose atoms are farther apart than the cutoff.
warnings.filterwarnings("ignore", category=ssatom.GraphWarning)

here = Path(__file__).parent
write_weights_page(here / "generated")
write_paper_pages(here / "results" / "paper", here / "generated" / "paper")
write_speed_page(here / "results" / "speed.json", here / "generated")
write_home_table(here / "results" / "paper", here / "generated")
write_terms_page(here / "generated")
write_cli_page(here / "generated")

# Addresses are stated once, in pyproject.toml.
urls = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
links = [f"- {name}: {address}" for name, address in urls.items()]
(here / "generated" / "links.rst").write_text("\n".join(links) + "\n", encoding="utf-8")

project = "ssatom"
author = "the ssatom developers"
copyright = "2026, the ssatom developers"
version = release = ssatom.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.doctest",
    "sphinx_gallery.gen_gallery",
    "numpydoc",
]
exclude_patterns = [
    "_build",
    *(f"generated/{name}.rst" for name in ("speed", "home_table", "terms", "links")),
    "results/paper",
]
templates_path = ["_templates"]
# Names between single backticks are links where they are ours.
default_role = "py:obj"
rst_prolog = ".. currentmodule:: ssatom\n"

html_theme = "pydata_sphinx_theme"
html_title = f"ssatom {version}"
# Pages of the first level that have none below them.
html_sidebars = {
    name: [] for name in ("index", "install", "tutorial", "concepts", "terms", "developing")
}
html_static_path = ["_static"]
html_css_files = ["ssatom.css"]
html_theme_options = {
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "header_links_before_dropdown": 9,
    **({"github_url": urls["Repository"]} if "Repository" in urls else {}),
}

autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
suppress_warnings = ["ref.ref"]  # docstrings inherited from scikit-learn point into its own docs

sphinx_gallery_conf = {
    "examples_dirs": str(root / "examples"),
    "gallery_dirs": "auto_examples",
    "image_scrapers": ("matplotlib", "_gallery_figures.scrape_figures"),
    "filename_pattern": r"/plot_",
    "ignore_pattern": r"make_|[/\\](paper|benchmarks)[/\\]",
    "remove_config_comments": True,
    "show_memory": False,
    "abort_on_example_error": True,
}
