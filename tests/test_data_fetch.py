"""Fetching public sets, from a server on this machine that stands in for theirs."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import pytest
from matminer.datasets import dataset_retrieval, get_dataset_columns, load_dataset
from typer.testing import CliRunner

from ssatom import ParameterError, StructureFileError, load_example_crystals
from ssatom.cli.main import app
from ssatom.corpora import _fetch, fetch, list_datasets, read_structures

STRUCTURES = load_example_crystals()["structure"].head(25).tolist()
ROWS = [{"material_id": f"mp-{i}", "structure": s.as_dict()} for i, s in enumerate(STRUCTURES)]
FRAME = {
    "columns": ["structure", "last phdos peak"],
    "index": list(range(len(ROWS))),
    "data": [[row["structure"], float(i)] for i, row in enumerate(ROWS)],
}
CONTENT = gzip.compress(json.dumps(FRAME).encode(), mtime=0)
DIGEST = hashlib.sha256(CONTENT).hexdigest()
MCIF = "data_x\n_cell_length_a 4\n"
KEY = "a-secret-key"


class Stand:
    """What the server does, and what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.ranges: list[str] = []
        self.cut_after: int | None = None  # bytes of an answer, then the line is cut
        self.fail_at = -1  # number of the request that gets no answer
        self.write: Callable[[object], str] = json.dumps


class Handler(BaseHTTPRequestHandler):
    stand: Stand

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, content: bytes, status: int = 200, length: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self) -> None:
        stand, url = self.stand, urlsplit(self.path)
        stand.asked.append(self.path)
        if len(stand.asked) - 1 == stand.fail_at:
            self.answer(b"", 500)
        elif url.path == "/phonons":
            self.answer_file()
        elif url.path == "/mp/heartbeat":
            self.answer(b'{"db_version": "2025.1"}')
        elif url.path == "/mp/materials/summary/":
            query = parse_qs(url.query)
            skip, limit = int(query["_skip"][0]), int(query["_limit"][0])
            known = self.headers.get("X-API-KEY") == KEY
            text = stand.write({"data": ROWS[skip : skip + limit]})
            self.answer(text.encode() if known else b"no", 200 if known else 403)
        elif url.path == "/magndata/index.php":
            links = "".join(f'<a href="index.php?index={n}">' for n in ("0.1", "1.2.3", "../x"))
            self.answer(links.encode())
        elif url.path.startswith("/magndata/mcif/"):
            self.answer(MCIF.encode())
        else:
            self.answer(b"", 404)

    def answer_file(self) -> None:
        asked = self.headers.get("Range")
        start = int(asked.split("=")[1].rstrip("-")) if asked else 0
        self.stand.ranges += [asked] if asked else []
        if start >= len(CONTENT):
            self.answer(b"", 416)
        else:
            body = CONTENT[start:]
            self.answer(body[: self.stand.cut_after], 206 if asked else 200, len(body))


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stand]:
    """A server; the addresses of the public sets are its own."""
    stand = Stand()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"stand": stand}))
    Thread(target=server.serve_forever, daemon=True).start()
    home = f"http://127.0.0.1:{server.server_port}"
    get_dataset_columns("matbench_phonons")  # reads matminer's table
    table = dict(dataset_retrieval._dataset_dict)
    table["matbench_phonons"] = table["matbench_phonons"] | {
        "url": f"{home}/phonons",
        "hash": DIGEST,
    }
    monkeypatch.setattr(dataset_retrieval, "_dataset_dict", table)
    for name, there in {"MATERIALS_PROJECT": "mp", "MAGNDATA": "magndata"}.items():
        changed = getattr(_fetch, name)._replace(url=f"{home}/{there}")
        monkeypatch.setattr(_fetch, name, changed)
        monkeypatch.setattr(_fetch, name, changed)
    monkeypatch.setattr(_fetch, "_PAGE", 10)
    monkeypatch.setattr(_fetch, "_CHUNK", 100)
    monkeypatch.setenv("MP_API_KEY", KEY)
    yield stand
    server.shutdown()
    server.server_close()


def bring(name: str, folder: Path, **options: str) -> Path:
    return fetch(name, folder, progress_bar=False, **options)


def test_file_is_what_matminer_loads(stand: Stand, tmp_path: Path) -> None:
    path = bring("matbench_phonons", tmp_path / "data")
    assert path == tmp_path / "data" / "matbench_phonons.json.gz"
    assert path.read_bytes() == CONTENT
    records = list(read_structures(path))
    assert [record.properties["last phdos peak"] for record in records] == list(range(25))
    frame = load_dataset("matbench_phonons", data_home=str(path.parent))
    assert frame["structure"].iloc[3] == STRUCTURES[3]
    about = (path.parent / "matbench_phonons.about.txt").read_text()
    assert all(words in about for words in ("licence: CC BY 4.0", DIGEST, "cite: "))
    assert bring("matbench_phonons", path.parent) == path
    assert len(stand.asked) == 1
    assert len(list(path.parent.iterdir())) == 2


def test_file_goes_on_where_it_was_cut(stand: Stand, tmp_path: Path) -> None:
    stand.cut_after = 1000
    with pytest.raises(StructureFileError, match=r"matbench_phonons: no complete answer .* kept"):
        bring("matbench_phonons", tmp_path)
    [partial] = tmp_path.iterdir()
    assert partial.name.startswith(".")
    assert partial.read_bytes() == CONTENT[:1000]
    stand.cut_after = None
    assert bring("matbench_phonons", tmp_path).read_bytes() == CONTENT
    assert stand.ranges == ["bytes=1000-"]
    assert not partial.exists()


def test_file_that_is_complete_and_has_no_name_yet(stand: Stand, tmp_path: Path) -> None:
    (tmp_path / ".matbench_phonons.json.gz.partial").write_bytes(CONTENT)
    assert bring("matbench_phonons", tmp_path).read_bytes() == CONTENT


def test_file_with_another_hash(stand: Stand, tmp_path: Path) -> None:
    (tmp_path / ".matbench_phonons.json.gz.partial").write_bytes(b"wrong")
    with pytest.raises(StructureFileError, match=r"not the hash .* try again"):
        bring("matbench_phonons", tmp_path)
    assert not list(tmp_path.iterdir())
    path = tmp_path / "matbench_phonons.json.gz"
    path.write_bytes(b"mine")
    with pytest.raises(StructureFileError, match="delete it, or choose another folder"):
        bring("matbench_phonons", tmp_path)
    assert path.read_bytes() == b"mine"


def test_materials_project_page_by_page(stand: Stand, tmp_path: Path) -> None:
    stand.fail_at = 2  # the second page
    with pytest.raises(StructureFileError, match="answers 500") as caught:
        bring("materials-project", tmp_path)
    assert KEY not in str(caught.value)
    n_asked = len(stand.asked)
    path = bring("materials-project", tmp_path)
    again = [parse_qs(urlsplit(one).query).get("_skip") for one in stand.asked[n_asked:]]
    assert again == [None, ["10"], ["20"]]
    records = list(read_structures(path))
    assert [record.source for record in records] == [row["material_id"] for row in ROWS]
    assert records[7].structure == STRUCTURES[7]
    about = tmp_path / "materials-project.about.txt"
    assert sorted(tmp_path.iterdir()) == [about, path]
    assert "release 2025.1, 25 documents" in about.read_text()
    assert KEY not in about.read_text()


@pytest.mark.parametrize("text", ["[]", "{}", "no JSON"])
def test_odd_answers(text: str, stand: Stand, tmp_path: Path) -> None:
    stand.write = lambda _: text
    with pytest.raises(StructureFileError, match=r"no JSON object|no list|no complete answer"):
        bring("materials-project", tmp_path)


def test_key(stand: Stand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ParameterError, match="refuses this key"):
        bring("materials-project", tmp_path, api_key="other")
    monkeypatch.delenv("MP_API_KEY")
    with pytest.raises(ParameterError, match="set it as MP_API_KEY"):
        bring("materials-project", tmp_path)


def test_magndata_files(stand: Stand, tmp_path: Path) -> None:
    stand.fail_at = 2
    with pytest.raises(StructureFileError, match="answers 500"):
        bring("magndata", tmp_path)
    path = bring("magndata", tmp_path)
    assert sorted(file.name for file in path.iterdir()) == ["0.1.mcif", "1.2.3.mcif"]
    assert (path / "0.1.mcif").read_text() == MCIF
    asked = [one.rpartition("/")[2] for one in stand.asked if "mcif" in one]
    assert asked == ["0.1.mcif", "1.2.3.mcif", "1.2.3.mcif"]


def test_no_network_and_wrong_names(stand: Stand, tmp_path: Path) -> None:
    nowhere = dataset_retrieval._dataset_dict["matbench_phonons"] | {"url": "http://127.0.0.1:9/"}
    dataset_retrieval._dataset_dict["matbench_phonons"] = nowhere
    with pytest.raises(StructureFileError, match=r"no complete answer from 127\.0\.0\.1:9 .*netw"):
        bring("matbench_phonons", tmp_path)
    with pytest.raises(ParameterError, match="no public set; allowed: .*matbench_phonons"):
        bring("matbench_phonon", tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(StructureFileError, match="cannot be written"):
        bring("matbench_phonons", tmp_path / "file")


def test_commands(stand: Stand, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["data", "list"])
    assert done.exit_code == 0
    assert all(dataset.name in done.output for dataset in list_datasets())
    titles = {dataset.name: " ".join(dataset.title.split()) for dataset in list_datasets()}
    for line in done.output.splitlines()[1:]:
        start = line.split("  ")[-1].removesuffix(" …")
        words = titles[line.split()[0]].split()
        assert start.split() == words[: len(start.split())]  # no word is cut
    done = CliRunner().invoke(app, ["data", "fetch", "matbench_phonons", "-o", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "licence: CC BY 4.0" in done.output
    assert (tmp_path / "matbench_phonons.json.gz").is_file()
    done = CliRunner().invoke(app, ["data", "fetch", "nothing", "-o", str(tmp_path)])
    assert done.exit_code == 2
    assert "allowed: " in done.output


def test_table_of_sets() -> None:
    sets = {dataset.name: dataset for dataset in list_datasets()}
    tasks = [name for name in sets if name.startswith("matbench_")]
    assert len(tasks) == 9  # those of structures
    assert {"materials-project", "magndata", "mp_all_20181018", "dielectric_constant"} <= set(sets)
    for dataset in sets.values():
        assert all((dataset.title, dataset.licence, dataset.citation))
        assert dataset.url.startswith("https://")
        assert dataset.sha256 is None or len(dataset.sha256) == 64
    assert all(sets[name].sha256 for name in tasks)
