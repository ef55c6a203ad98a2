"""Public sets of crystals: names, terms, what to cite, and their download with checks."""

from __future__ import annotations

import gzip
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from ssatom.exceptions import ParameterError, StructureFileError
from ssatom.files import file_sha256, replacing
from ssatom.progress import make_bar

_CC_BY = "CC BY 4.0"
_UNKNOWN = "not stated; see the reference"
_CC_BY_SETS = (
    *("matbench_mp_", "matbench_log_", "matbench_dielectric", "matbench_phonons", "mp_all_"),
    *("phonon_dielectric_mp", "dielectric_constant", "elastic_tensor_", "piezoelectric_tensor"),
)
"""Beginnings of the names of sets whose data are those of the Materials Project."""


class Dataset(NamedTuple):
    """A public set of crystals.

    Attributes
    ----------
    name : str
        Name for `fetch`.
    title : str
        Description in a sentence.
    licence : str
        Terms of use, or that none are stated.
    citation : str
        The work to cite.
    file : str
        Name of the file, or of the folder, that `fetch` makes.
    url : str
        Address of the source.
    sha256 : str or None
        Hash of the file where one is published.

    Examples
    --------
    >>> from ssatom.corpora import list_datasets
    >>> {dataset.name: dataset.licence for dataset in list_datasets()}["materials-project"]
    'CC BY 4.0'
    """

    name: str
    title: str
    licence: str
    citation: str
    file: str
    url: str
    sha256: str | None = None


MATERIALS_PROJECT = Dataset(
    "materials-project",
    "Structures of the Materials Project with band gaps and energies; needs a key (MP_API_KEY)",
    _CC_BY,
    "A. Jain et al., APL Materials 1, 011002 (2013), https://doi.org/10.1063/1.4812323",
    "materials-project.jsonl.gz",
    "https://api.materialsproject.org",
)
MAGNDATA = Dataset(
    "magndata",
    "Commensurate and incommensurate magnetic structures as .mcif files",
    _UNKNOWN,
    "S. V. Gallego et al., Journal of Applied Crystallography 49, 1750 (2016), "
    "https://doi.org/10.1107/S1600576716012863",
    "magndata",
    "https://www.cryst.ehu.es/magndata",
)


def list_datasets() -> list[Dataset]:
    """List the public sets that `fetch` downloads.

    Returns
    -------
    list of Dataset
        The tasks of matbench and the other sets with structures of matminer's table, of which it
        also gives addresses, hashes and references; structures of the Materials Project; and the
        magnetic structures of MAGNDATA.

    Examples
    --------
    >>> from ssatom.corpora import list_datasets
    >>> "matbench_phonons" in [dataset.name for dataset in list_datasets()]
    True
    """
    from matminer import datasets as matminer

    found = []
    for name in matminer.get_available_datasets(print_format=None):
        if "structure" in matminer.get_dataset_columns(name):
            found.append(
                Dataset(
                    name,
                    matminer.get_dataset_description(name).split(". ")[0].strip(". "),
                    _CC_BY if name.startswith(_CC_BY_SETS) else _UNKNOWN,
                    " ".join(matminer.get_dataset_reference(name).split()),
                    f"{name}.{matminer.get_dataset_attribute(name, 'file_type')}",
                    matminer.get_dataset_attribute(name, "url"),
                    matminer.get_dataset_attribute(name, "hash"),
                )
            )
    return [*sorted(found), MATERIALS_PROJECT, MAGNDATA]


def find_dataset(name: str) -> Dataset:
    """The set of a name; raises ParameterError with the names that there are."""
    sets = {dataset.name: dataset for dataset in list_datasets()}
    if name not in sets:
        raise ParameterError(f"name={name!r:.80} is no public set; allowed: {', '.join(sets)}")
    return sets[name]


# Download -----------------------------------------------------------------------------------------


if TYPE_CHECKING:
    from requests import Response, Session

_FIELDS = (
    "material_id,formula_pretty,structure,band_gap,formation_energy_per_atom,energy_above_hull"
)
_PAGE = 1000  # documents in an answer, the most that the Materials Project gives
_CHUNK = 1 << 16  # bytes, of which the last are lost where an answer is cut
_TIMEOUT = 120  # seconds without a byte
_GONE = (401, 403)


def fetch(
    name: str,
    folder: str | os.PathLike[str],
    *,
    api_key: str | None = None,
    progress_bar: bool = True,
) -> Path:
    """Download a public set of crystals into a folder.

    A file that is there is kept, and a call that was interrupted is resumed. A file gets its name
    once it is complete and, where a hash is published, has this hash. ``NAME.about.txt`` beside
    the set says where it is from, its terms, and what to cite.

    Parameters
    ----------
    name : str
        As in `list_datasets`.
    folder : str or path-like
        Made if need be. ``matminer.datasets.load_dataset(name, data_home=folder)`` finds matminer's
        sets there.
    api_key : str or None, default=None
        Key for the Materials Project; None takes that of the environment, ``MP_API_KEY``.
    progress_bar : bool, default=True
        Show progress, on stderr, in a terminal or a notebook.

    Returns
    -------
    Path
        The file, which `read_structures` reads; for MAGNDATA the folder, for
        `load_magnetic_sites`.

    Raises
    ------
    ParameterError
        If there is no such set, or the key is missing or refused.
    StructureFileError
        If there is no network, the server refuses, the file is not what was published, or
        nothing can be written.

    Examples
    --------
    >>> from ssatom.corpora import fetch, read_structures
    >>> path = fetch("matbench_phonons", "data")  # doctest: +SKIP
    >>> records = list(read_structures(path))  # doctest: +SKIP
    """
    from requests import RequestException, Session
    from requests.adapters import HTTPAdapter
    from urllib3.util import Retry

    dataset = find_dataset(name)
    path = Path(folder) / dataset.file
    get = {MATERIALS_PROJECT.name: _get_pages, MAGNDATA.name: _get_files}.get(name, _get_file)
    busy = (429, 502, 503, 504)
    with Session() as session:
        retry = Retry(total=3, backoff_factor=0.2, status_forcelist=busy, raise_on_status=False)
        session.mount("https://", HTTPAdapter(max_retries=retry))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            bar = make_bar(desc=name, show=progress_bar, unit_scale=True)
            with bar:
                from_where = get(session, dataset, path, api_key, bar.update)
            _write_about(dataset, path, from_where)
        except RequestException as error:
            problem = _why(error)
        except StructureFileError as error:
            raise error.at(source=name) from None
        except OSError as error:
            problem = f"'{path}' cannot be written ({error.strerror or error})"
        else:
            return path
    raise StructureFileError(
        f"{problem}; what came is kept, and the same call goes on from there", source=name
    )


def _why(error: Any) -> str:
    """What the network or a server said, without addresses that hold a key."""
    host = re.sub(r"\w+://([^/?]*).*", r"\1", getattr(error.request, "url", "") or "")
    if error.response is not None:
        return f"{host} answers {error.response.status_code} {error.response.reason}"
    kind = type(error).__name__
    return f"no complete answer from {host or 'the server'} ({kind}); is there a network?"


def _get_file(
    session: Session, dataset: Dataset, path: Path, _: str | None, tell: Callable[[int], Any]
) -> str:
    """One file with a hash, from where an earlier call was cut off."""
    if not path.exists():
        partial = path.with_name(f".{path.name}.partial")
        start = partial.stat().st_size if partial.exists() else 0
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
        with session.get(dataset.url, headers=headers, stream=True, timeout=_TIMEOUT) as answer:
            if answer.status_code != 416:  # else all of it is there
                answer.raise_for_status()
                goes_on = answer.status_code == 206
                tell(start if goes_on else 0)
                with partial.open("ab" if goes_on else "wb") as file:
                    for piece in answer.iter_content(_CHUNK):
                        tell(file.write(piece))
        if dataset.sha256 and file_sha256(partial) != dataset.sha256:
            partial.unlink()
            raise StructureFileError(
                "what came has not the hash that is published; it was removed, try again"
            )
        os.replace(partial, path)
    elif dataset.sha256 and file_sha256(path) != dataset.sha256:
        raise StructureFileError(
            f"'{path}' has not the hash that is published; delete it, or choose another folder"
        )
    return dataset.url


def _get_pages(
    session: Session, dataset: Dataset, path: Path, api_key: str | None, tell: Callable[[int], Any]
) -> str:
    """All documents of the Materials Project, page by page; pages of one release go together."""
    if path.exists():
        return dataset.url
    if not (key := api_key or os.environ.get("MP_API_KEY")):
        raise ParameterError(
            "the Materials Project needs a key: get one at https://materialsproject.org/api, and "
            "set it as MP_API_KEY in the environment, or in Python give api_key"
        )
    release = session.get(f"{dataset.url}/heartbeat", timeout=_TIMEOUT)
    release.raise_for_status()
    version = re.sub(r"[^\w.-]", "", str(_content(release).get("db_version", "")))
    pages = path.with_name(f".{path.name}.{version}.pages")
    pages.mkdir(exist_ok=True)
    n_documents, n_last = 0, _PAGE
    while n_last == _PAGE:
        page = pages / f"{n_documents:09d}.jsonl"
        if not page.exists():
            wanted = {"_fields": _FIELDS, "deprecated": "false", "_sort_fields": "material_id"}
            answer = session.get(
                f"{dataset.url}/materials/summary/",
                params={**wanted, "_limit": str(_PAGE), "_skip": str(n_documents)},
                headers={"X-API-KEY": key},
                timeout=_TIMEOUT,
                allow_redirects=False,  # another host would get the key
            )
            if answer.status_code in _GONE:
                raise ParameterError("the Materials Project refuses this key; look at MP_API_KEY")
            answer.raise_for_status()
            with replacing(page) as new:
                new.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in _rows(answer)))
        n_last = page.read_bytes().count(b"\n")
        n_documents += n_last
        tell(n_last)
    with replacing(path) as new, gzip.open(new, "wb") as packed:
        for page in sorted(pages.iterdir()):
            packed.write(page.read_bytes())
    shutil.rmtree(pages)
    return f"{dataset.url}, release {version}, {n_documents:,} documents"


def _content(answer: Response) -> dict[str, Any]:
    content = answer.json()
    if not isinstance(content, dict):
        raise StructureFileError(f"the answer of {MATERIALS_PROJECT.url} is no JSON object")
    return content


def _rows(answer: Response) -> list[Any]:
    rows = _content(answer).get("data")
    if not isinstance(rows, list):
        raise StructureFileError(f"the answer of {MATERIALS_PROJECT.url} has no list 'data'")
    return rows


def _get_files(
    session: Session, dataset: Dataset, path: Path, _: str | None, tell: Callable[[int], Any]
) -> str:
    """The files of MAGNDATA that its list names and the folder lacks."""
    answer = session.get(f"{dataset.url}/index.php", params={"show_db": "1"}, timeout=_TIMEOUT)
    answer.raise_for_status()
    names = sorted(set(re.findall(r"[?&;]index=(\d+(?:\.\d+)+)", answer.text)))
    if not names:
        raise StructureFileError(f"the list at {answer.url} names no structures")
    path.mkdir(exist_ok=True)
    for name in names:
        file = path / f"{name}.mcif"
        if not file.exists():
            answer = session.get(f"{dataset.url}/mcif/{name}.mcif", timeout=_TIMEOUT)
            answer.raise_for_status()
            if b"data_" not in answer.content:
                raise StructureFileError(f"what {answer.url} gives is no .mcif file")
            with replacing(file) as new:
                new.write_bytes(answer.content)
        tell(1)
    return f"{dataset.url}, {len(names):,} files"


def _write_about(dataset: Dataset, path: Path, from_where: str) -> None:
    lines = [dataset.title, f"from: {from_where}", f"licence: {dataset.licence}"]
    if path.is_file():
        lines.append(f"sha256: {file_sha256(path)}")
    lines.append(f"cite: {dataset.citation}")
    with replacing(path.with_name(f"{dataset.name}.about.txt")) as new:
        new.write_text("\n".join(lines) + "\n", encoding="utf-8")
