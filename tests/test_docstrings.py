"""What every docstring of a public function must say; the examples in them run as doctests."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted(path.relative_to(ROOT) for path in (ROOT / "tfdrift").rglob("*.py"))


def public_functions(source: str) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Yield the public functions of a module and the public methods of its public classes."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            yield node.name, node
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for member in node.body:
                if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef) and not member.name.startswith("_"):
                    yield f"{node.name}.{member.name}", member


def arguments_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    """Return the names of a function's arguments, without `self`, `cls` and those whose name begins with `_`."""
    every = function.args
    names = [one.arg for one in (*every.posonlyargs, *every.args, *every.kwonlyargs)]
    names += [f"*{every.vararg.arg}"] if every.vararg else []
    names += [f"**{every.kwarg.arg}"] if every.kwarg else []
    return [name for name in names if name not in ("self", "cls") and not name.startswith("_")]


def undescribed(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    """Return the arguments that a function of two or more does not describe; one that says `As X.` need not."""
    names, text = arguments_of(function), ast.get_docstring(function) or ""
    if len(names) < 2 or text.startswith("As `"):
        return []
    _, _, section = text.partition("Args:\n")
    lines = [line.strip() for line in section.splitlines() if ":" in line]
    described = {line.split(":")[0].lstrip("*") for line in lines}
    return [name for name in names if name.lstrip("*") not in described]


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_every_argument_is_described_where_there_are_two_or_more(path):
    source = (ROOT / path).read_text(encoding="utf-8")
    missing = {name: found for name, function in public_functions(source) if (found := undescribed(function))}
    assert missing == {}


@pytest.mark.parametrize(
    ("source", "missing"),
    [
        ("def f(a, b):\n    '''Do.'''", ["a", "b"]),
        ("def f(a, *, b):\n    '''Do.\n\n    Args:\n        a: int.\n    '''", ["b"]),
        ("def f(a, *, b):\n    '''Do.\n\n    Args:\n        a: int.\n        b: mm.\n    '''", []),
        ("def f(a):\n    '''Do.'''", []),
        ("class C:\n    def f(self, a, **b):\n        '''Do.'''", ["a", "**b"]),
    ],
)
def test_a_planted_argument_without_a_word_is_seen(source, missing):
    ((_, function),) = public_functions(source)
    assert undescribed(function) == missing
