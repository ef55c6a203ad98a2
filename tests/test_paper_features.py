"""The rivals by the names that the tables use."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from ssatom.reproduction.features import DESCRIPTORS, SITE_DESCRIPTORS

HAS_DSCRIBE = importlib.util.find_spec("dscribe") is not None


@pytest.mark.parametrize("name", DESCRIPTORS)
def test_descriptors_tell_crystals_apart(crystals, name):
    if name == "SOAP" and not HAS_DSCRIBE:
        pytest.skip("dscribe is not installed")
    X = DESCRIPTORS[name].make().fit_transform([crystals["CsCl"], crystals["TiO2"]])
    assert np.isfinite(X).all()
    assert not np.allclose(X[0], X[1])


@pytest.mark.parametrize("name", SITE_DESCRIPTORS)
def test_site_descriptors_tell_sites_apart(crystals, name):
    if name == "SOAP" and not HAS_DSCRIBE:
        pytest.skip("dscribe is not installed")
    X = SITE_DESCRIPTORS[name].make().fit_transform([(crystals["TiO2"], 0), (crystals["TiO2"], 5)])
    assert np.isfinite(X).all()
    assert not np.allclose(X[0], X[1])
