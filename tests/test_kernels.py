"""Compiled kernels against torch in float64, their repeatability, threads, forks and caches."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import ssatom.kernels.available
import ssatom.kernels.edges
from ssatom import kernels
from ssatom.exceptions import ParameterError
from ssatom.graph import GaussianDistanceBasis, GraphConfig
from ssatom.kernels import (
    Edges,
    batch_normalized,
    gated_messages,
    linear,
    loops_work,
    weighted_sums,
)
from ssatom.kernels._threads import run, split

PACKAGE = Path(ssatom.__file__).parent

# Edge vectors of the default sets: 23 Gaussians to 4.4 Å, 41 to 8 Å.
BASES = {23: GraphConfig(neighbors="smooth", cutoff=4.4), 41: GraphConfig()}


class Case:
    """A random batch of graphs with what a convolution needs."""

    def __init__(self, sizes: list[int], width: int, edge_dim: int, seed: int = 0) -> None:
        rng = torch.Generator().manual_seed(seed)
        n = sum(sizes)
        source, target = [], []
        first = 0
        for size in sizes:
            degrees = torch.randint(0, 40, (size,), generator=rng)  # some sites are isolated
            target.append(first + torch.arange(size).repeat_interleave(degrees))
            source.append(first + torch.randint(0, size, (int(degrees.sum()),), generator=rng))
            first += size
        self.index = torch.stack([torch.cat(source), torch.cat(target)])
        n_edges = self.index.shape[1]
        basis = GaussianDistanceBasis(BASES[edge_dim])
        self.attr = basis(torch.rand(n_edges, generator=rng) * basis.config.cutoff)
        self.weight = torch.rand(n_edges, generator=rng)
        self.center = torch.randn(n, 2 * width, generator=rng)
        self.neighbor = torch.randn(n, 2 * width, generator=rng)
        self.matrix = torch.randn(edge_dim, 2 * width, generator=rng) / 2
        self.upstream = torch.randn(n, width, generator=rng)
        self.n_sites = n

    @property
    def nodes(self) -> Tensor:
        return torch.cat([self.center, self.neighbor], dim=1)

    @property
    def tensors(self) -> list[Tensor]:
        return [self.center, self.neighbor, self.matrix, self.attr, self.weight]

    def gradients(
        self, dtype: torch.dtype = torch.float32, of: str = "cnmaw", index: Tensor | None = None
    ) -> list[Tensor]:
        """The messages, then the gradients of those asked for."""
        given = [
            x.detach().to(dtype).clone().requires_grad_(name in of)
            for name, x in zip("cnmaw", self.tensors, strict=True)
        ]
        center, neighbor, matrix, attr, weight = given
        edges = Edges(self.index if index is None else index, attr, weight, self.n_sites)
        messages = gated_messages(torch.cat([center, neighbor], dim=1), matrix, edges)
        messages.backward(self.upstream.to(dtype))
        return [messages.detach(), *(x.grad for x in given if x.grad is not None)]


def plain(case: Case) -> list[Tensor]:
    """The same by automatic differentiation in float64, without any code of ours."""
    given = [x.detach().double().requires_grad_() for x in case.tensors]
    center, neighbor, matrix, attr, weight = given
    source, target = case.index
    f, s = (center[target] + neighbor[source] + attr @ matrix).chunk(2, dim=1)
    message = torch.sigmoid(f) * torch.nn.functional.softplus(s) * weight[:, None]
    messages = torch.zeros_like(case.upstream, dtype=torch.float64).index_add(0, target, message)
    messages.backward(case.upstream.double())
    return [messages.detach(), *(x.grad for x in given)]


def relative(got: Tensor, wanted: Tensor) -> float:
    scale = wanted.abs().max().clamp(min=1e-30) if wanted.numel() else torch.ones(())
    return float((got - wanted).abs().max() / scale) if wanted.numel() else 0.0


def test_loops_work_here() -> None:
    assert loops_work()


SIZES = [[1], [2], [1] * 9, [3, 1, 20, 7], [2000], [12] * 60]


@pytest.mark.parametrize("edge_dim", BASES)
@pytest.mark.parametrize("width", [64, 128])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_messages_and_gradients(sizes: list[int], width: int, edge_dim: int) -> None:
    case = Case(sizes, width, edge_dim, seed=len(sizes))
    found, wanted = case.gradients(), plain(case)
    assert relative(found[0], wanted[0]) < 5e-7
    for got, right in zip(found[1:], wanted[1:], strict=True):
        assert got.dtype == torch.float32
        assert got.shape == right.shape
        assert relative(got, right) < 3e-6


@pytest.mark.parametrize("width", [1, 4, 7])
def test_any_width(width: int) -> None:
    case = Case([3, 8, 2], width, 23)
    for got, right in zip(case.gradients(), plain(case), strict=True):
        assert relative(got, right) < 3e-6


@pytest.mark.parametrize("edge_dim", [1, 2, 7, 8, 9, 30])
def test_edge_vectors_of_any_kind(edge_dim: int) -> None:
    """Not Gaussians: several groups, zero rows, numbers far apart."""
    case = Case([6, 9], 16, 23)
    attr = torch.randn(len(case.weight), edge_dim, generator=torch.Generator().manual_seed(1))
    attr[::5] = 0
    attr[1::5, 1:-1] = 0
    case.attr, case.matrix = attr, torch.randn(edge_dim, 32)
    for got, right in zip(case.gradients(), plain(case), strict=True):
        assert relative(got, right) < 3e-6


@pytest.mark.parametrize("width", [64, 128])
@pytest.mark.parametrize("edge_dim", BASES)
def test_agreement_with_torch(monkeypatch: pytest.MonkeyPatch, width: int, edge_dim: int) -> None:
    case = Case([12] * 40, width, edge_dim)
    by_loops = case.gradients()
    monkeypatch.setattr(ssatom.kernels.edges, "loops_serve", lambda *_: False)
    for got, right in zip(by_loops, case.gradients(), strict=True):
        assert relative(got, right) < 3e-6
    assert relative(by_loops[0], case.gradients()[0]) < 1e-6


def test_far_logits() -> None:
    """Gates that are shut or wide open, far beyond where exp overflows."""
    case = Case([20], 16, 23)
    for scale in (1e2, 1e4):
        case.center = scale * torch.randn(20, 32)
        for got, right in zip(case.gradients(), plain(case), strict=True):
            assert torch.isfinite(got).all()
            assert relative(got, right) < 3e-6


def test_far_logits_with_large_gradients() -> None:
    """As in a training that runs away: no product of two large factors overflows on its own."""
    case = Case([20], 16, 23)
    case.center = 1e5 * torch.randn(20, 32, generator=torch.Generator().manual_seed(0))
    case.upstream = 1e6 * case.upstream
    for got, right in zip(case.gradients(), plain(case), strict=True):
        assert relative(got, right) < 3e-6


@pytest.mark.parametrize("where", range(5))
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_divergence_shows(where: int, value: float) -> None:
    case = Case([5], 16, 23)
    x = case.tensors[where]
    x.view(-1)[: len(x.view(-1)) // 2] = value
    if value == np.inf and where < 2:
        x[:] = value  # the softplus of infinity, not only a gate that is open
    assert not torch.isfinite(forward(case)).all()


def forward(case: Case, edges: Edges | None = None) -> Tensor:
    edges = edges or Edges(case.index, case.attr, case.weight, case.n_sites)
    return gated_messages(case.nodes, case.matrix, edges)


def same(left: list[Tensor], right: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(left, right, strict=True))


def test_repeats_bit_for_bit() -> None:
    case = Case([12] * 60, 64, 41)
    assert same(case.gradients(), case.gradients())


@pytest.mark.parametrize("sizes", [[12] * 200, [2000]], ids=str)
def test_threads_change_nothing(monkeypatch: pytest.MonkeyPatch, sizes: list[int]) -> None:
    case = Case(sizes, 64, 41)
    results = []
    for count in (1, 2, 3, 8):
        monkeypatch.setattr("ssatom.kernels._threads.n_threads", lambda count=count: count)
        results.append([*case.gradients(), weighted_sums(edges_of(case))])
    assert all(same(results[0], other) for other in results[1:])


def edges_of(case: Case) -> Edges:
    return Edges(case.index, case.attr, case.weight, case.n_sites)


def test_batch_changes_nothing() -> None:
    """A structure alone, in a batch, and in a batch of another order: the same bits."""
    sizes = [7, 1, 12, 30, 5] * 20
    case = Case(sizes, 64, 41)
    together = case.gradients(of="cnw")
    ends = np.cumsum(sizes)
    order = np.random.default_rng(0).permutation(len(sizes))
    sites = np.concatenate([np.arange(ends[k] - sizes[k], ends[k]) for k in order])
    for chosen in (sites, np.arange(20), np.arange(20, 50)):
        part = picked(case, chosen)
        inside = torch.isin(case.index[1], torch.as_tensor(chosen))
        order_of_edges = edges_in(case, chosen)
        assert inside.sum() == len(order_of_edges)
        found = part.gradients(of="cnw")
        assert same(found, [x[chosen] for x in together[:3]] + [together[3][order_of_edges]])


def edges_in(case: Case, sites: np.ndarray) -> Tensor:
    """Edges of sites, in the order of the sites."""
    target = case.index[1].numpy()
    return torch.from_numpy(np.concatenate([np.flatnonzero(target == i) for i in sites]))


def picked(case: Case, sites: np.ndarray) -> Case:
    """The case of some sites, whole structures of it, in another order."""
    edges, new = edges_in(case, sites), torch.zeros(case.n_sites, dtype=torch.int64)
    new[sites] = torch.arange(len(sites))
    part = Case([1], 1, 23)
    part.index = new[case.index[:, edges]]
    part.attr, part.weight = case.attr[edges], case.weight[edges]
    part.center, part.neighbor = case.center[sites], case.neighbor[sites]
    part.matrix, part.upstream, part.n_sites = case.matrix, case.upstream[sites], len(sites)
    return part


def test_asked_gradients_alone() -> None:
    case = Case([4, 9], 16, 23)
    everything = case.gradients()
    for of in ("c", "n", "m", "a", "w", "cm", "aw"):
        wanted = [everything[1 + "cnmaw".index(name)] for name in of]
        assert same(case.gradients(of=of)[1:], wanted)


def test_nothing_of_the_edges_is_kept() -> None:
    case = Case([30] * 10, 64, 41)
    nodes = case.nodes.requires_grad_()
    messages = gated_messages(nodes, case.matrix, edges_of(case))
    saved = sum(x.numel() for x in messages.grad_fn.saved_tensors)  # type: ignore[union-attr]
    assert saved < nodes.numel() + 48 * 128 + 1


def test_second_derivatives_are_refused() -> None:
    case = Case([4], 16, 23)
    nodes = case.nodes.requires_grad_()
    messages = gated_messages(nodes, case.matrix, edges_of(case))
    (slope,) = torch.autograd.grad(messages.sum(), nodes, create_graph=True)
    with pytest.raises(RuntimeError, match="does not require grad"):
        slope.sum().backward()


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_torch_serves_other_precisions(dtype: torch.dtype) -> None:
    case = Case([4, 9], 16, 23)
    found = case.gradients(dtype)
    tolerance = 1e-12 if dtype == torch.float64 else 0.1
    for got, right in zip(found, plain(case), strict=True):
        assert got.dtype == dtype
        assert relative(got.double(), right) < tolerance


# Inputs that are refused or empty --------------------------------------------------------------


@pytest.mark.parametrize(
    ("index", "match"),
    [
        ([[0, 1], [1, 0]], "sorted by centre"),
        ([[0, 5], [0, 1]], "site 5, but there are 2"),
        ([[0, -1], [0, 1]], "site -1"),
        ([[0, 1], [0, 2]], "site 2"),
        ([[0, 1], [-1, 0]], "site -1"),
    ],
)
def test_wrong_edges(index: list[list[int]], match: str) -> None:
    with pytest.raises(ParameterError, match=match):
        Edges(torch.tensor(index), torch.ones(2, 3), None, 2)


def test_edges_of_different_number() -> None:
    with pytest.raises(ParameterError, match="edge_attr 3"):
        Edges(torch.tensor([[0, 1], [0, 1]]), torch.ones(3, 3), None, 2)


def test_no_edges() -> None:
    for n_sites in (0, 3):
        edges = Edges(torch.empty(2, 0, dtype=torch.int64), torch.empty(0, 23), None, n_sites)
        nodes = torch.ones(n_sites, 16, requires_grad=True)
        messages = gated_messages(nodes, torch.ones(23, 8), edges)
        assert messages.shape == (n_sites, 4)
        assert not messages.any()
        messages.sum().backward()
        assert not nodes.grad.any()
        assert weighted_sums(edges).shape == (n_sites, 23)


def test_views_and_read_only_arrays() -> None:
    case = Case([4, 9], 16, 23)
    wanted = forward(case)
    case.attr = torch.cat([case.attr, case.attr], dim=1)[:, :23]
    case.index = case.index.t().contiguous().t()
    nodes = case.nodes.t().contiguous().t()
    assert torch.equal(gated_messages(nodes, case.matrix, edges_of(case)), wanted)


# Batch normalisation ---------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "width"), [(4, 1), (5, 17), (64, 64), (1000, 128)])
def test_batch_normalized(n: int, width: int) -> None:
    rng = torch.Generator().manual_seed(n)
    x, upstream = torch.randn(2, n, width, generator=rng).mul(3).add(1)
    weight, bias = torch.randn(2, width, generator=rng)
    results = []
    for dtype in (torch.float32, torch.float64):
        given = [part.to(dtype).requires_grad_() for part in (x, weight, bias)]
        found = batch_normalized(*given, 1e-5)
        gradients = torch.autograd.grad(found[0], given, upstream.to(dtype))
        results.append([*found, *gradients])
    variance, mean = torch.var_mean(x.double(), dim=0, correction=0)
    torch.testing.assert_close(results[1][1:3], [mean, variance])
    plain = torch.nn.functional.batch_norm(
        x.double(), None, None, weight.double(), bias.double(), training=True, eps=1e-5
    )
    torch.testing.assert_close(results[1][0], plain)
    for got, right in zip(*results, strict=True):
        assert got.dtype == torch.float32
        assert relative(got.detach(), right.detach()) < 1e-5


def test_batch_normalized_passes_nan_on() -> None:
    x = torch.ones(3, 2)
    x[1, 0] = torch.nan
    normalized, *_ = batch_normalized(x, torch.ones(2), torch.zeros(2), 1e-5)
    assert normalized[:, 0].isnan().all()
    assert not normalized[:, 1].any()


@pytest.mark.parametrize("n_rows", [1, 7, 8, 100])
@pytest.mark.parametrize(("n_in", "n_out"), [(1, 1), (92, 64), (130, 3), (64, 256), (300, 140)])
def test_gradients_of_a_linear_map(n_rows: int, n_in: int, n_out: int) -> None:
    rng = torch.Generator().manual_seed(n_in)
    x = torch.randn(n_rows, n_in, generator=rng, requires_grad=True)
    weight = torch.randn(n_out, n_in, generator=rng, requires_grad=True)
    upstream = torch.randn(n_rows, n_out, generator=rng)
    found = torch.autograd.grad(linear(x, weight), (x, weight), upstream)
    rows, matrix, up = (part.detach().double() for part in (x, weight, upstream))
    for got, right in zip(found, (up @ matrix, up.t() @ rows), strict=True):
        assert relative(got, right) < 1e-6


# Sums of edge vectors --------------------------------------------------------------------------


@pytest.mark.parametrize("edge_dim", BASES)
def test_weighted_sums(edge_dim: int) -> None:
    case = Case([1, 30, 12], 4, edge_dim)
    for columns in (slice(0, None), slice(5, None)):
        rows = (case.attr * case.weight[:, None])[:, columns].double()
        wanted = rows.new_zeros(case.n_sites, rows.shape[1]).index_add(0, case.index[1], rows)
        assert relative(weighted_sums(edges_of(case), columns), wanted) < 1e-6


def test_weighted_sums_can_be_learned_through() -> None:
    case = Case([12], 4, 23)
    case.weight.requires_grad_()
    weighted_sums(edges_of(case)).sum().backward()
    assert relative(case.weight.grad, case.attr.double().sum(1)) < 1e-6


# Threads, forks, caches ------------------------------------------------------------------------


def test_ranges_cover_everything_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ssatom.kernels._threads.n_threads", lambda: 4)
    rng = np.random.default_rng(0)
    for n in (0, 1, 2, 17, 1000):
        offsets = np.concatenate([[0], np.cumsum(rng.integers(0, 9, n))])
        seen: list[int] = []
        lock = threading.Lock()

        def work(start: int, stop: int, seen: list[int] = seen, lock: object = lock) -> None:
            with lock:  # type: ignore[attr-defined]
                seen.extend(range(start, stop))

        run(work, split(offsets, 10))
        assert sorted(seen) == list(range(n))


def test_an_error_in_a_range_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ssatom.kernels._threads.n_threads", lambda: 3)

    def work(start: int, stop: int) -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        run(work, [(0, 1), (1, 2), (2, 3)])


def test_eight_callers_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ssatom.kernels._threads.n_threads", lambda: 4)
    cases = [Case([12] * 60, 64, 41, seed=k) for k in range(8)]
    wanted = [case.gradients() for case in cases]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            found = list(pool.map(lambda case: case.gradients(), cases))
            assert all(same(a, b) for a, b in zip(found, wanted, strict=True))


def run_python(code: str, **environment: str | None) -> str:
    """What a fresh process prints; a variable that is None is not set."""
    variables = {k: v for k, v in {**os.environ, **environment}.items() if v is not None}
    done = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "-c", code],
        capture_output=True,
        text=True,
        env=variables,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


SMALL = """
import torch
from ssatom.kernels import Edges, gated_messages
edges = Edges(torch.tensor([[1, 0], [0, 1]]), torch.ones(2, 3), None, 2)
messages = gated_messages(torch.zeros(2, 16), torch.zeros(3, 8), edges)
print(round(float(messages.sum()), 4))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_fork_after_threads_were_used() -> None:
    """Of ours: torch's own threads, which OpenMP keeps, do not live through a fork."""
    code = """
import os, torch
torch.set_num_threads(1)
import ssatom.kernels._threads as threads
threads.n_threads = lambda: 4
from ssatom.kernels import Edges, gated_messages
n = 2000
target = torch.arange(n).repeat_interleave(20)
edges = Edges(torch.stack([target, target]), torch.ones(len(target), 9), None, n)
def work():
    nodes = torch.ones(n, 32, requires_grad=True)
    gated_messages(nodes, torch.ones(9, 16), edges).sum().backward()
    return nodes.grad
wanted = work()
child = os.fork()
if child == 0:
    os._exit(0 if torch.equal(work(), wanted) else 1)
assert os.waitpid(child, 0)[1] == 0
assert torch.equal(work(), wanted)
print("both")
"""
    assert run_python(code).strip() == "both"


def test_import_compiles_nothing_and_without_jit_torch_serves() -> None:
    code = "import sys, ssatom.kernels; print('numba' in sys.modules)\n" + SMALL
    code += "from ssatom.kernels import loops_work; print(loops_work())"
    assert run_python(code, NUMBA_DISABLE_JIT="1").split() == ["False", "2.7726", "False"]


def test_broken_numba_is_told_and_torch_serves(tmp_path: Path) -> None:
    (tmp_path / "numba.py").write_text("raise ImportError('broken')")
    code = (
        f"import sys, warnings; sys.path.insert(0, {str(tmp_path)!r}); "
        "warnings.simplefilter('always')\n"
        "warnings.showwarning = lambda m, *_, **__: print('told', type(m).__name__)\n" + SMALL * 2
    )
    assert run_python(code).splitlines() == ["told RuntimeWarning", *2 * ["2.7726"]]


@pytest.mark.slow
def test_read_only_package_and_no_home(tmp_path: Path) -> None:
    """Where nothing can be kept, loops are compiled in memory, without an error."""
    site = tmp_path / "site"
    (site / "ssatom").mkdir(parents=True)
    for name in ("__init__.py", "__init__.pyi", "exceptions.py", "dependencies.py"):
        shutil.copy(PACKAGE / name, site / "ssatom")
    shutil.copytree(
        PACKAGE / "kernels", site / "ssatom/kernels", ignore=shutil.ignore_patterns("__pycache__")
    )
    code = SMALL + (
        "import numba.core.caching as c, ssatom.kernels._edge_loops as e\n"
        f"print(e.__file__.startswith({str(site)!r}), type(e.find_bands._cache).__name__)"
    )
    # A file in the place of each folder that numba might use keeps root out as well.
    (site / "ssatom/kernels/__pycache__").write_text("")
    (tmp_path / "home").write_text("")
    out = run_python(
        code,
        PYTHONPATH=str(site),
        PYTHONSAFEPATH="1",
        PYTHONDONTWRITEBYTECODE="1",
        HOME=str(tmp_path / "home"),
        XDG_CACHE_HOME=None,
        NUMBA_CACHE_DIR=None,
    )
    assert out.split() == ["2.7726", "True", "NullCache"]


@pytest.mark.slow
def test_cache_that_breaks_is_no_error(tmp_path: Path) -> None:
    """A damaged file of the cache is compiled anew."""
    cache = str(tmp_path)
    assert run_python(SMALL, NUMBA_CACHE_DIR=cache)
    kept = [path for path in tmp_path.rglob("*") if path.suffix in (".nbi", ".nbc")]
    assert kept
    for path in kept:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert run_python(SMALL, NUMBA_CACHE_DIR=cache).strip() == "2.7726"


@pytest.mark.parametrize("function", [kernels.gaussians, kernels.soft_steps])
def test_rows_of_distances_are_those_of_float64(function: Callable[..., torch.Tensor]) -> None:
    distances = torch.cat([torch.rand(500) * 9, torch.tensor([0.0, 2.0, torch.nan])])
    marks = torch.arange(0, 8.1, 0.2)
    with torch.no_grad():
        found = function(distances, marks, 0.2)
        exact = function(distances.double(), marks.double(), 0.2)
    torch.testing.assert_close(found.double(), exact, atol=4e-6, rtol=0, equal_nan=True)


def test_products_depend_on_their_own_row_alone() -> None:
    x, weight = torch.randn(100, 37), torch.randn(150, 37)
    bias, plus = torch.randn(150), torch.randn(100, 150)
    whole = kernels.linear(x, weight, bias, plus)
    for rows in (slice(0, 1), slice(41, 60), slice(98, 100)):
        assert torch.equal(kernels.linear(x[rows], weight, bias, plus[rows]), whole[rows])
    exact = x.double() @ weight.double().t() + bias + plus
    torch.testing.assert_close(whole.double(), exact, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize(
    ("weight", "bias", "plus"),
    [((4, 3), None, None), ((4, 2), (3,), None), ((4, 2), (4,), (5, 3)), ((4, 2), None, (4, 4))],
)
def test_shapes_of_a_linear_map_must_fit(weight, bias, plus) -> None:
    more = [None if shape is None else torch.ones(shape) for shape in (bias, plus)]
    with pytest.raises(ParameterError, match=r"do not fit together: x \(5, 2\), weight"):
        linear(torch.ones(5, 2), torch.ones(weight), *more)


def test_linear_maps_of_nothing() -> None:
    x = torch.ones(0, 3, requires_grad=True)
    weight = torch.ones(2, 3, requires_grad=True)
    product = linear(x, weight)
    product.sum().backward()
    assert product.shape == (0, 2)
    assert not weight.grad.any()
