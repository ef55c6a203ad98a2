"""Docstrings say what the signatures say, section by section as numpydoc has them."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import ssatom

PACKAGE = Path(ssatom.__file__).parent
ROOMS = sorted(
    path.stem
    for path in PACKAGE.iterdir()
    if (path.suffix == ".py" or (path / "__init__.py").exists()) and path.stem != "__init__"
)


def public_objects() -> dict[str, Any]:
    """Every public class and function of every room, by its full name."""
    found = {}
    for room in ROOMS:
        module = importlib.import_module(f"ssatom.{room}")
        names = getattr(module, "__all__", [n for n in vars(module) if not n.startswith("_")])
        for name in names:
            value = getattr(module, name)
            ours = getattr(value, "__module__", "").startswith(f"ssatom.{room}")
            if ours and (inspect.isclass(value) or inspect.isfunction(value)):
                found[f"{room}.{name}"] = value
    return found


def public_methods(cls: type) -> Iterator[tuple[str, Callable]]:
    """Methods and properties that a class itself defines."""
    for name, value in vars(cls).items():
        if name.startswith("_"):
            continue
        function = getattr(value, "__func__", getattr(value, "fget", value))
        if inspect.isfunction(function) and function.__module__.startswith("ssatom"):
            yield name, function


OBJECTS = public_objects()
FUNCTIONS = {name: value for name, value in OBJECTS.items() if inspect.isfunction(value)}
CLASSES = {name: value for name, value in OBJECTS.items() if inspect.isclass(value)}
METHODS = {
    f"{name}.{method}": function
    for name, cls in CLASSES.items()
    for method, function in public_methods(cls)
}
LISTED = re.findall(
    r"^   ([\w.]+)$", (PACKAGE.parent / "docs" / "api.rst").read_text(), re.MULTILINE
)
OF_THE_API = {
    name
    for name in FUNCTIONS
    if name in LISTED or name.rpartition(".")[2] in {*LISTED, *ssatom.__all__}
}
UNDERLINED = re.compile(r"^(\w[\w ]*)\n-+$", re.MULTILINE)


def sections(docstring: str) -> dict[str, str]:
    """Text of each section by its title."""
    parts = UNDERLINED.split(inspect.cleandoc(docstring))
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def documented(docstring: str, section: str = "Parameters") -> dict[str, str]:
    """Type of each parameter by its name, in order."""
    lines = re.findall(r"^(\S.*)$", sections(docstring).get(section, ""), re.MULTILINE)
    pairs = [line.partition(" : ")[::2] for line in lines]
    return {name.lstrip("*"): kind for names, kind in pairs for name in names.split(", ")}


def parameters(function: Callable) -> dict[str, inspect.Parameter]:
    """What a caller gives, without ``self``."""
    found = dict(inspect.signature(function).parameters)
    for name in ("self", "cls"):
        found.pop(name, None)
    return {name.lstrip("*"): parameter for name, parameter in found.items()}


def is_plain_tuple(cls: type) -> bool:
    return issubclass(cls, tuple) and hasattr(cls, "_fields")


def is_dataclass_of_attributes(cls: type) -> bool:
    """Dataclasses that ssatom makes and people read list Attributes instead of Parameters."""
    return dataclasses.is_dataclass(cls) and "Parameters" not in sections(cls.__doc__ or "")


def check_parameters(function: Callable, docstring: str) -> None:
    expected, found = parameters(function), documented(docstring)
    assert list(found) == list(expected)
    for name, parameter in expected.items():
        stated = re.search(r"default=(.+)$", found[name])
        if parameter.default is inspect.Parameter.empty:
            assert stated is None, f"{name} has no default"
        else:
            assert stated is not None, (
                f"the default of {name}, {parameter.default!r}, is not stated"
            )
            assert same_default(stated[1], parameter.default), f"{name}: {stated[1]}"


def same_default(stated: str, value: Any) -> bool:
    """Whether the text after ``default=`` is the default of the signature."""
    try:
        return ast.literal_eval(stated) == value
    except (ValueError, SyntaxError):
        # A call such as GraphConfig() stands for the None that is replaced by it.
        return (
            value is None
            and stated.endswith("()")
            and stated[:-2] in {name.split(".")[-1] for name in OBJECTS}
        )


def check_style(docstring: str | None) -> None:
    assert docstring, "there is no docstring"
    first, *rest = inspect.cleandoc(docstring).split("\n")
    assert first.strip(), "the summary starts on the line of the quotes"
    assert not rest or not rest[0].strip() or UNDERLINED.search(docstring) is None, (
        "a blank line follows the summary"
    )
    assert not re.search(r"\bTODO\b|\bFIXME\b", docstring)


def test_there_is_something_to_check() -> None:
    assert len(FUNCTIONS) > 15
    assert len(CLASSES) > 20
    assert len(METHODS) > 30
    assert len(OF_THE_API) > 20


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name: str) -> None:
    """Those of the API list all parameters; what rooms share among each other may do with less."""
    function = FUNCTIONS[name]
    check_style(function.__doc__)
    if name not in OF_THE_API and "Parameters" not in sections(function.__doc__):
        return
    check_parameters(function, function.__doc__)
    returns = inspect.signature(function).return_annotation
    if returns not in ("None", None, inspect.Signature.empty):
        # One line may say what is returned, where there is nothing to give.
        short = not parameters(function) or "\n" not in function.__doc__.strip()
        assert short or {"Returns", "Yields"} & set(sections(function.__doc__))


@pytest.mark.parametrize("name", CLASSES)
def test_classes(name: str) -> None:
    cls = CLASSES[name]
    check_style(cls.__doc__)
    if is_plain_tuple(cls):
        assert list(documented(cls.__doc__, "Attributes")) == list(cls._fields)
    elif is_dataclass_of_attributes(cls):
        fields = [field.name for field in dataclasses.fields(cls)]
        assert list(documented(cls.__doc__, "Attributes"))[: len(fields)] == fields
    elif "__init__" in vars(cls):
        check_parameters(cls.__init__, cls.__doc__)


@pytest.mark.parametrize("name", METHODS)
def test_methods(name: str) -> None:
    """Every method has a docstring; where it lists parameters, they are those of the signature."""
    function = METHODS[name]
    owner = CLASSES[name.rpartition(".")[0]]
    docstring = inspect.getdoc(getattr(owner, function.__name__))
    check_style(docstring)
    if function.__doc__ and "Parameters" in sections(function.__doc__):
        check_parameters(function, function.__doc__)


@pytest.mark.parametrize("name", ssatom.__all__)
def test_public_names_have_an_example(name: str) -> None:
    examples = sections(getattr(ssatom, name).__doc__).get("Examples", "")
    assert ">>> " in examples


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: p.stem)
def test_modules(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    check_style(docstring)


def test_this_test_sees_what_is_wrong() -> None:
    def stale(first: int, second: float = 2.0) -> None:
        """Do nothing.

        Parameters
        ----------
        first : int
            One.
        second : float, default=3.0
            Two.
        """

    with pytest.raises(AssertionError, match=r"second: 3\.0"):
        check_parameters(stale, stale.__doc__)
    with pytest.raises(AssertionError):
        check_parameters(lambda first, second=3.0, third=None: None, stale.__doc__)
    check_parameters(lambda first, second=3.0: None, stale.__doc__)
