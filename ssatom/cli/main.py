"""The program `ssatom`: its commands and what becomes of errors and warnings."""

from __future__ import annotations

import warnings
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import ssatom
from ssatom.cli import data, featurize, fit, predict, pretrain, similar, weights
from ssatom.cli._disk import disk_error
from ssatom.cli._screen import HARMLESS, say
from ssatom.dependencies import explained
from ssatom.exceptions import ParameterError, SsatomError

_EPILOG = """
**Examples**

- `ssatom featurize cifs/ -o features.csv`
- `ssatom featurize corpus.jsonl.gz --layers 0123 --pooling mean,std -o features.parquet`
- `ssatom fit data.csv --target gap -o model/`
- `ssatom predict model/ cifs/ -o predictions.csv`
- `ssatom index cifs/ -o my-index`
- `ssatom similar my-index NaCl.cif`
- `ssatom weights list`
- `ssatom data fetch matbench_phonons -o data/`
- `ssatom pretrain corpus.jsonl.gz -o my-weights`

`ssatom COMMAND --help` tells all about a command.
"""


class _Group(TyperGroup):
    """Shows errors of ours as one line, without the way through the code."""

    def invoke(self, ctx: Any) -> Any:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            warnings.filterwarnings("ignore", HARMLESS)
            try:
                return super().invoke(ctx)
            except BrokenPipeError:  # the reader of our output went away
                raise
            except (SsatomError, OSError) as error:
                say(f"error: {error}", err=True)
                raise typer.Exit(2 if isinstance(error, ParameterError) else 1) from None
            except ImportError as error:
                say(f"error: {explained(error)}", err=True)
                raise typer.Exit(1) from None
            except Exception as error:
                if (reason := disk_error(error)) is None:
                    raise
                say(f"error: something cannot be written ({reason})", err=True)
                raise typer.Exit(1) from None


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    from tqdm import tqdm

    with tqdm.external_write_mode():  # not into the middle of a progress bar
        say(f"warning: {message}", err=True)


app = typer.Typer(
    name="ssatom",
    cls=_Group,
    epilog=_EPILOG,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("featurize", epilog=featurize.EPILOG)(featurize.featurize)
app.command("fit", epilog=fit.EPILOG)(fit.fit)
app.command("predict", epilog=predict.EPILOG)(predict.predict)
app.command("pretrain", epilog=pretrain.EPILOG)(pretrain.pretrain)
app.command("index", epilog=similar.INDEX_EPILOG)(similar.index)
app.command("similar", epilog=similar.SIMILAR_EPILOG)(similar.similar)
app.add_typer(weights.app, name="weights")
app.add_typer(data.app, name="data")


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"ssatom {ssatom.__version__}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and stop."
        ),
    ] = False,
) -> None:
    """Multi-scale features of crystals from self-supervised crystal graph networks.

    Turns crystal structures into tables of features, with pretrained weights that come with
    the package, fits models to properties and predicts with them, and pretrains weights of your
    own. Needs no network, but for `ssatom data fetch`.

    Exit codes: 0 all is well; 1 an error; 2 a wrong option or argument; 3 from `featurize`,
    `fit`, `predict`, `index` and `similar`, all is done, but some structures could not be used.
    """


def main() -> None:
    """Run the command line."""
    app()
