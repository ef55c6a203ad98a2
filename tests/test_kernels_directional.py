"""Spherical harmonics and directional units."""

import numpy as np
import pytest
import torch

from ssatom.kernels import Edges, directional_units, spherical_harmonics


def _directions(n, seed=0):
    rows = torch.randn(n, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.nn.functional.normalize(rows, dim=1)


@pytest.mark.parametrize("degree", range(5))
def test_products_of_harmonics_are_legendre_polynomials(degree):
    directions = _directions(50)
    of_degree = spherical_harmonics(directions)[degree**2 : (degree + 1) ** 2].numpy().T
    cosines = (directions @ directions.T).clamp(-1, 1).numpy()
    expected = np.polynomial.legendre.Legendre.basis(degree)(cosines)
    assert np.allclose(of_degree @ of_degree.T, expected, atol=1e-12)


def _random_graph(n_sites, n_edges, n_channels, isolated=0):
    draw = torch.Generator().manual_seed(1)
    target = torch.sort(torch.randint(n_sites - isolated, (n_edges,), generator=draw)).values
    source = torch.randint(n_sites, (n_edges,), generator=draw)
    attr = torch.zeros(n_edges, 23, dtype=torch.float64)
    first = torch.randint(16, (n_edges,), generator=draw)
    for k in range(7):
        attr[torch.arange(n_edges), first + k] = torch.rand(
            n_edges, generator=draw, dtype=torch.float64
        )
    weight = torch.rand(n_edges, generator=draw, dtype=torch.float64)
    neighbor = torch.randn(n_sites, n_channels, generator=draw, dtype=torch.float64)
    matrix = torch.randn(23, n_channels, generator=draw, dtype=torch.float64)
    return torch.stack([source, target]), attr, weight, neighbor, matrix, _directions(n_edges, 2)


def _units_and_gradients(graph, dtype):
    index, attr, weight, neighbor, matrix, directions = graph
    neighbor = neighbor.to(dtype).clone().requires_grad_()
    matrix = matrix.to(dtype).clone().requires_grad_()
    edges = Edges(index, attr.to(dtype), weight.to(dtype), len(neighbor))
    units = directional_units(neighbor, matrix, edges, spherical_harmonics(directions.to(dtype)))
    factors = torch.linspace(-1, 1, units.numel(), dtype=dtype).view(units.shape)
    (units * factors).sum().backward()
    return units.detach(), neighbor.grad, matrix.grad


@pytest.mark.parametrize(
    ("n_sites", "n_edges", "n_channels", "isolated"),
    [(1, 5, 4, 0), (40, 700, 32, 3), (2000, 30_000, 7, 0)],
)
def test_compiled_units_and_gradients_equal_those_in_float64(
    n_sites, n_edges, n_channels, isolated
):
    graph = _random_graph(n_sites, n_edges, n_channels, isolated)
    single = _units_and_gradients(graph, torch.float32)
    double = _units_and_gradients(graph, torch.float64)
    for found, expected, bound in zip(single, double, (1e-6, 1e-5, 1e-5), strict=True):
        assert (found - expected).abs().max() <= bound * expected.abs().max()


def test_gradients_in_torch_are_those_of_finite_differences():
    index, attr, weight, neighbor, matrix, directions = _random_graph(6, 40, 3, isolated=1)
    edges, harmonics = Edges(index, attr, weight, 6), spherical_harmonics(directions)
    given = neighbor.requires_grad_(), matrix.requires_grad_()
    assert torch.autograd.gradcheck(lambda *of: directional_units(*of, edges, harmonics), given)


def test_units_do_not_change_under_rotation_and_reflection():
    index, attr, weight, neighbor, matrix, directions = _random_graph(20, 300, 5)
    turn, _ = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))
    edges = Edges(index, attr, weight, 20)
    units, turned = (
        directional_units(neighbor, matrix, edges, spherical_harmonics(d))
        for d in (directions, -directions @ turn)
    )
    assert torch.allclose(units, turned, rtol=1e-10)


def test_an_isolated_site_has_the_least_units():
    graph = _random_graph(10, 50, 3, isolated=2)
    units, *_ = _units_and_gradients(graph, torch.float32)
    assert torch.allclose(units[-2:], torch.tensor(1e-3))
