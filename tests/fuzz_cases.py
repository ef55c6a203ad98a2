"""Hostile inputs of every kind that is read, each made from a number alone, and what must hold."""

from __future__ import annotations

import gzip
import hashlib
import json
import math
import random
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from fuzz_seeds import Seeds

from ssatom import GraphEmbeddingFeaturizer, SimilarCrystals, SsatomError
from ssatom.corpora import count_structures, read_structures
from ssatom.embeddings import embed, resolve_weights
from ssatom.exceptions import StructureError
from ssatom.files.sealed import seal
from ssatom.graph import GraphConfig
from ssatom.structures import check_structures

ODD: list[Any] = [
    *(None, True, -1, 0, 1, 3, 10**9, 10**30, 0.5, -2.5, 1e-300, 1e300, math.nan, math.inf),
    *("", "012", "9", "mean", "random", "../..", "/etc/passwd", "a\0b", "\ud800", "=1+1"),
    *([], [0], [[]], ["mean", "no"], {}, {"a": {}}, "x" * 5000),
]
TOKENS = [
    *(b"nan", b"inf", b"-1", b"0", b"1e308", b"1e-320", b"99999999999999999999", b"1e999", b"\0"),
    *(
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"\n",
        b"\r",
        b"\r\n",
        b" ",
        b'"',
        b"'",
        b"{",
        b"}",
        b"[",
        b"]",
    ),
    *(b"[" * 2000, b"(" * 300, b"9" * 5000, b"\\ud800", b"../../", b"=cmd|x!A1", b"null", b"true"),
    *(b"loop_\n", b"data_x\n", b"_cell_length_a 1e-9\n", b"x,y,z", b"1/3", b"?", b".", b"Xx", b"#"),
]
SALT = {"lattice": [[4, 0, 0], [0, 4, 0], [0, 0, 4]], "numbers": [11, 17],
        "frac": [[0, 0, 0], [0.5, 0.5, 0.5]]}  # fmt: skip


class FaultError(AssertionError):
    """A case that ends otherwise than in finite numbers or an error of ours."""


# Mutations ----------------------------------------------------------------------------------------


def mutated(rng: random.Random, data: bytes, others: list[bytes]) -> bytes:
    """The bytes after one to four changes of any kind."""
    for _ in range(rng.choice((1, 1, 2, 4))):
        data = rng.choice(_CHANGES)(rng, data or b"0", others)
    return data[:2_000_000]


def _span(rng: random.Random, data: bytes) -> tuple[int, int]:
    start = rng.randrange(len(data))
    return start, min(len(data), start + rng.choice((1, 4, 40, 400)))


def _flip(rng: random.Random, data: bytes, _: list[bytes]) -> bytes:
    place = rng.randrange(len(data))
    return data[:place] + bytes([data[place] ^ 1 << rng.randrange(8)]) + data[place + 1 :]


def _delete(rng: random.Random, data: bytes, _: list[bytes]) -> bytes:
    start, stop = _span(rng, data)
    return data[:start] + data[stop:]


def _repeat(rng: random.Random, data: bytes, _: list[bytes]) -> bytes:
    start, stop = _span(rng, data)
    return data[:stop] + data[start:stop] * rng.choice((1, 3, 100, 3000)) + data[stop:]


def _insert(rng: random.Random, data: bytes, _: list[bytes]) -> bytes:
    place = rng.randrange(len(data) + 1)
    return data[:place] + rng.choice(TOKENS) + data[place:]


def _cut(rng: random.Random, data: bytes, _: list[bytes]) -> bytes:
    return data[: rng.randrange(len(data))]


def _number(rng: random.Random, data: bytes, _: list[bytes]) -> bytes:
    """One number replaced by another."""
    words = data.split(b" ") if rng.random() < 0.5 else data.split(b",")
    places = [i for i, word in enumerate(words) if word.strip(b"[]-+.e\n")[:1].isdigit()]
    if places:
        exponent = rng.choice((-320, -12, -3, 0, 1, 3, 8, 12, 308))
        words[rng.choice(places)] = f"{rng.uniform(-10, 10):.6f}e{exponent}".encode()
    return (b" " if b" ".join(words).count(b" ") == data.count(b" ") else b",").join(words)


def _line(rng: random.Random, data: bytes, _: list[bytes]) -> bytes:
    """A line deleted, moved or repeated."""
    lines = data.splitlines(keepends=True)
    line = lines.pop(rng.randrange(len(lines)))
    for _ in range(rng.choice((0, 1, 2, 500))):
        lines.insert(rng.randrange(len(lines) + 1), line)
    return b"".join(lines)


def _splice(rng: random.Random, data: bytes, others: list[bytes]) -> bytes:
    other = rng.choice(others)
    start, stop = _span(rng, other)
    place = rng.randrange(len(data) + 1)
    return data[:place] + other[start : 2 * stop - start] + data[place:]


_CHANGES = (_flip, _delete, _repeat, _insert, _cut, _number, _line, _splice)


def changed(rng: random.Random, value: Any) -> Any:
    """A value of JSON of which one part is another, or missing."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(list(value))
        if rng.random() < 0.1:
            return {k: v for k, v in value.items() if k != key}
        return {**value, key: changed(rng, value[key])}
    if isinstance(value, list) and value and rng.random() < 0.6:
        place = rng.randrange(len(value))
        return [*value[:place], changed(rng, value[place]), *value[place + 1 :]]
    if type(value) in (int, float) and rng.random() < 0.4:
        return rng.choice((value + 1, -value, value * 1000, float(value) + 0.5))
    return rng.choice(ODD)


# Kinds of cases -----------------------------------------------------------------------------------


def file_case(rng: random.Random, folder: Path, seeds: Seeds) -> str:
    """A file of crystals, as it is or packed."""
    name = rng.choice(list(seeds.files))
    data = mutated(rng, seeds.files[name], list(seeds.files.values()))
    if not name.endswith(".db") and rng.random() < 0.2:
        name, data = f"{name}.gz", gzip.compress(data, 1)
        if rng.random() < 0.3:
            data = mutated(rng, data, [data])
    (folder / name).write_bytes(data)
    try:
        count_structures(folder / name)
        records = list(read_structures(folder / name, errors="keep"))
    except SsatomError:
        return "refused"
    return _features([record.structure for record in records])


def crystal_case(rng: random.Random, folder: Path, seeds: Seeds) -> str:
    """Crystals of extreme cells and coordinates, as rows or as Atoms."""
    rows: list[Any] = [SALT]
    for _ in range(rng.choice((1, 3))):
        scale = 10 ** rng.choice((0, 0, 0, rng.uniform(-12, 12)))
        lattice = np.diag([rng.uniform(2, 9) * scale for _ in range(3)])
        for _ in range(rng.choice((0, 1, 3))):
            i, j = rng.sample(range(3), 2)
            lattice[i] += lattice[j] * rng.choice((1, -1, 50, 10**4, 10**7, 0.5, 1e-9))
        lattice[rng.randrange(3)] *= 10 ** rng.choice((0, 0, rng.uniform(-8, 8)))
        n = rng.choice((0, 1, 2, 8, 30, 400))
        frac = np.array([[rng.uniform(-1, 2) for _ in range(3)] for _ in range(n)]).reshape(n, 3)
        frac *= rng.choice((1, 1, 1e-9, 1e4, 1e9, math.nan))
        numbers = [rng.choice((1, 6, 8, 26, 92, 100, rng.randint(-1, 130))) for _ in range(n)]
        if rng.random() < 0.3:
            rows.append(
                Atoms([abs(z) for z in numbers], frac, cell=lattice, pbc=rng.random() < 0.8)
            )
        else:
            row = {"lattice": lattice.tolist(), "numbers": numbers, "frac": frac.tolist()}
            rows.append(changed(rng, row) if rng.random() < 0.2 else row)
    if _features(rows) == "refused":
        raise FaultError("a good crystal beside a bad one is lost")
    return "features"


def parameter_case(rng: random.Random, folder: Path, seeds: Seeds) -> str:
    """Parameters of a featurizer or of graphs."""
    odd = rng.choice(ODD)
    try:
        if rng.random() < 0.4:
            name = rng.choice(list(GraphConfig.__dataclass_fields__))
            GraphConfig(**{name: odd})
            return "features"
        names = [
            n for n in GraphEmbeddingFeaturizer().get_params() if n not in ("memory", "n_jobs")
        ]
        found = GraphEmbeddingFeaturizer(**{"weights": seeds.weights, rng.choice(names): odd})
        _check_finite(found.fit_transform(check_structures([SALT])))
    except SsatomError:
        return "refused"
    return "features"


def folder_case(rng: random.Random, folder: Path, seeds: Seeds) -> str:
    """A folder of weights, of a model or of an index, whose card is sealed again or not."""
    kind = rng.choice(list(seeds.folders))
    source, card_name = seeds.folders[kind]
    target = folder / "given"
    shutil.copytree(source, target)
    card = json.loads((target / card_name).read_text())
    victim = rng.choice([card_name, card_name, *card["files"]])
    if victim == card_name:
        content = (target / card_name).read_bytes()
        card = changed(rng, card)
        if rng.random() < 0.2:
            (target / card_name).write_bytes(mutated(rng, content, [content]))
            card = None
    else:
        data = (target / victim).read_bytes()
        data = mutated(rng, data, [data])
        (target / victim).write_bytes(data)
        if rng.random() < 0.7:
            card["files"][victim] = hashlib.sha256(data).hexdigest()
    if isinstance(card, dict):
        card.pop("card_sha256", None)
        (target / card_name).write_text(json.dumps({**card, "card_sha256": seal(card)}))
    before = _listing(target)
    try:
        _USE[kind](target, seeds)
    except SsatomError:
        return "refused"
    finally:
        if _listing(target) != before:
            raise FaultError("using the folder changed it")
    return "features"


def _use_weights(target: Path, _: Seeds) -> None:
    loaded = resolve_weights(target)
    loaded.overlap([SALT])
    _check_finite(GraphEmbeddingFeaturizer(weights=target).fit_transform(check_structures([SALT])))


def _use_model(target: Path, _: Seeds) -> None:
    from ssatom import load_estimator

    predicted = load_estimator(target).predict(check_structures([SALT]))
    if predicted.dtype.kind == "f":
        _check_finite(predicted)


def _use_index(target: Path, seeds: Seeds) -> None:
    found = SimilarCrystals.load(target, seeds.weights).query(check_structures([SALT]), 1)
    _check_finite(found["distance"].to_numpy())


_USE: dict[str, Callable[[Path, Seeds], None]] = {
    "weights": _use_weights,
    "model": _use_model,
    "embedding model": _use_model,
    "index": _use_index,
}
KINDS: dict[str, Callable[[random.Random, Path, Seeds], str]] = {
    "file": file_case,
    "crystals": crystal_case,
    "parameters": parameter_case,
    "folder": folder_case,
}
SHARES = {"file": 12, "crystals": 3, "parameters": 1, "folder": 4}  # of twenty cases


# What must hold -----------------------------------------------------------------------------------


def _features(rows: list[Any]) -> str:
    """ "features" if any row has some, "refused" if all have errors; none may be otherwise."""
    weights = resolve_weights("directional-64x3-mp")
    n_good = 0
    for row in embed(rows, weights, pooling=("mean", "std")):
        if not isinstance(row, StructureError):
            _check_finite(row)
            n_good += 1
    return "features" if n_good else "refused"


def _check_finite(numbers: Any) -> None:
    if not np.isfinite(np.asarray(numbers, dtype=float)).all():
        raise FaultError("numbers that are not finite")


def _listing(folder: Path) -> list[tuple[str, int]]:
    return sorted((str(p), p.stat().st_size) for p in folder.rglob("*") if p.is_file())


def run_case(number: int, seed: int, folder: Path, seeds: Seeds, kinds: list[str]) -> tuple:
    """Kind and outcome of one case; raises what should not have come through."""
    rng = random.Random(f"{seed}/{number}")
    kind = rng.choices(kinds, [SHARES[kind] for kind in kinds])[0]
    folder.mkdir()
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            outcome = KINDS[kind](rng, folder, seeds)
        left = {path.name for path in folder.iterdir()}
        if len(left) > 1:
            raise FaultError(f"files are left behind: {sorted(left)}")
        odd = [w for w in caught if w.category is RuntimeWarning]
        if odd:
            raise FaultError(f"a warning of a library: {odd[0].message} ({odd[0].filename})")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return kind, outcome
