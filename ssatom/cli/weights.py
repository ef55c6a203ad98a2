"""`ssatom weights`: which sets of weights there are, what they are, whether they are whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ssatom.cli._screen import aligned

if TYPE_CHECKING:
    from ssatom.weights import PretrainedEncoder, WeightsCard

app = typer.Typer(
    no_args_is_help=True,
    help="Show and verify the pretrained weights that come with the package.",
    epilog="**Examples**\n\n- `ssatom weights list`\n- `ssatom weights show cgcnn-64x5-mp`\n"
    "- `ssatom weights verify my-weights`",
)


@app.command("list")
def list_() -> None:
    """List the weights that come with the package, with their sizes."""
    from ssatom.exceptions import WeightsError
    from ssatom.weights import DEFAULT_WEIGHTS, list_weights, load_pretrained

    rows = [("name", "layers × numbers", "corpus", "size", "")]
    for name in list_weights():
        note = "default" if name == DEFAULT_WEIGHTS else ""
        try:
            rows.append((name, *_sizes(load_pretrained(name)), note))
        except WeightsError:
            rows.append((name, "?", "?", "?", "damaged, see `ssatom weights verify`"))
    typer.echo(aligned(rows))


def _sizes(weights: PretrainedEncoder) -> tuple[str, str, str]:
    card, folder = weights.card, weights.folder
    assert card is not None
    assert folder is not None
    extra = weights.n_columns - weights.n_layers * weights.hidden_dim
    n_bytes = sum(file.stat().st_size for file in folder.iterdir())
    return (
        f"{weights.n_layers} × {weights.hidden_dim}" + (f" + {extra}" if extra else ""),
        f"{card.corpus['n_structures']:,} structures",
        f"{n_bytes / 1000:,.0f} kB",
    )


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="Name of a shipped set, or a folder of weights.")],
) -> None:
    """Show the card of a set of weights: corpus, terms, recipe, metrics and hashes."""
    from ssatom.weights import load_pretrained

    weights = load_pretrained(name)
    assert weights.card is not None
    typer.echo(_card_text(weights.card))
    typer.echo(f"\nfolder  {weights.folder}")


def _card_text(card: WeightsCard) -> str:
    lines = [
        f"{card.name}\n",
        f"format {card.format_version}, written by ssatom {card.package_version}",
    ]
    sections = {
        "corpus": card.corpus,
        "encoder": card.encoder,
        "graph": card.graph,
        "recipe": card.recipe,
        "metrics of the epoch that was kept": card.metrics,
        "sha256": {**card.files, "element table": card.element_table_sha256},
    }
    for title, values in sections.items():
        lines += ["", title, aligned([(k, _text(v)) for k, v in values.items()], indent=2)]
    return "\n".join(lines)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.5g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


@app.command()
def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Names or folders.", show_default="all shipped sets", metavar="NAME"),
    ] = None,
) -> None:
    """Compare the files of weights with the hashes on their cards.

    Exit code 1 if a set is unknown, incomplete or changed.
    """
    from ssatom.exceptions import WeightsError
    from ssatom.weights import list_weights, load_pretrained

    names = names or list_weights()
    if not names:
        raise WeightsError("no weights came with this package; install it again")
    rows, n_bad = [], 0
    for name in names:
        try:
            rows.append((name, "ok", f"sha256 {load_pretrained(name).sha256}"))
        except WeightsError as error:
            rows.append((name, "BAD", str(error)))
            n_bad += 1
    typer.echo(aligned(rows))
    if n_bad:
        raise typer.Exit(1)
