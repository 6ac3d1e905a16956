"""What setup.py declares is what the code imports, and the embedded server's needs are the extra `serve`."""

import ast
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tfdrift.serving import extra

ROOT = Path(__file__).parents[1]
BOXED = ("direct", "method1", "method2")
NOT_IMPORTED = {
    "pylibjpeg": "found by pydicom",
    "pylibjpeg-openjpeg": "found by pylibjpeg",
    "pyjpegls": "found by pydicom",
    "importlib-resources": "imported by tensorflow-datasets without declaring it",
}


def normalised(name: str) -> str:
    """Return the name of a distribution as the registry compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def declared() -> dict[str, set[str]]:
    """Return the distributions that setup.py names: under `""` those of every install, and those of each extra."""
    tree = ast.parse((ROOT / "setup.py").read_text(encoding="utf-8"))
    named = {node.targets[0].id: node.value for node in tree.body if isinstance(node, ast.Assign)}  # pyright: ignore
    (call,) = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "setup"]
    keywords = {keyword.arg: keyword.value for keyword in call.keywords}

    def names(value) -> set[str]:
        if isinstance(value, ast.Name):
            return names(named[value.id])
        if isinstance(value, ast.Starred):
            return names(value.value)
        if isinstance(value, ast.List):
            return set().union(*map(names, value.elts))
        return {normalised(re.split("[<>=~!;\\[ ]", ast.literal_eval(value))[0])}

    extras = keywords["extras_require"]
    assert isinstance(extras, ast.Dict)
    found = {ast.literal_eval(key): names(value) for key, value in zip(extras.keys, extras.values, strict=True) if key}
    return {"": names(keywords["install_requires"]), **found}


def imported(folder: Path) -> dict[str, set[str]]:
    """Return the modules of other projects that are imported, each with the files that do so."""
    found = {}
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            else:
                continue
            for name in names:
                module = name.split(".")[0]
                if module == "google":  # a namespace of several distributions
                    module = ".".join(name.split(".")[:2])
                if module not in (*sys.stdlib_module_names, "tfdrift", "tfdrift_cli"):
                    found.setdefault(module, set()).add(path.relative_to(ROOT).as_posix())
    return found


def distributions_of(modules) -> set[str]:
    known = {**packages_distributions(), "google.protobuf": ["protobuf"]}
    return {normalised(name) for module in modules for name in known[module]}


def test_what_is_imported_is_declared_and_what_is_declared_is_used():
    found = distributions_of(imported(ROOT / "tfdrift") | imported(ROOT / "cli"))
    groups = declared()
    assert set(groups) == {"", "serve", "cluster", "bench", "dev"}
    assert groups[""] | groups["serve"] | groups["cluster"] == found | NOT_IMPORTED.keys()


def test_the_extra_holds_what_servers_alone_import():
    assert distributions_of(extra.MODULES) == declared()["serve"]
    files = imported(ROOT / "tfdrift")
    importing = set().union(*(files[module] for module in extra.MODULES))
    assert importing == {
        *(f"tfdrift/serving/{name}.py" for name in ("server", "rest_api", "monitoring")),
        *(f"tfdrift/app/{name}.py" for name in ("server", "calls", "access")),
    }
    assert not extra.MODULES & imported(ROOT / "cli").keys()


def test_one_module_alone_imports_what_the_cluster_needs():
    assert imported(ROOT / "tfdrift")["distributed"] == {"tfdrift/cluster.py"}
    assert "distributed" not in imported(ROOT / "cli")


def test_the_peers_of_the_benchmarks_are_an_extra_of_their_own():
    found = imported(ROOT / "benchmarks")
    assert declared()["bench"] == {name for name, files in found.items() if files == {"benchmarks/peers.py"}}


def test_developers_get_the_extras_too():
    assert declared()["serve"] | declared()["cluster"] <= declared()["dev"]


def test_every_file_that_is_no_code_is_packaged():
    (call,) = [
        node
        for node in ast.walk(ast.parse((ROOT / "setup.py").read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "setup"
    ]
    (patterns,) = [ast.literal_eval(one.value) for one in call.keywords if one.arg == "package_data"]
    package = ROOT / "tfdrift"
    packaged = {path for pattern in patterns["tfdrift"] for path in package.glob(pattern)}
    boxed = {path for pattern in patterns["tfdrift.saved_models"] for path in (ROOT / "saved_models").glob(pattern)}
    models = {path for name in BOXED for path in (ROOT / "saved_models" / name).rglob("*")}
    assert {path for path in boxed if path.is_file()} == {path for path in models if path.is_file()} != set()
    there = {path for path in package.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert packaged == there != set()


@pytest.mark.parametrize("module", ["google.protobuf", "scipy", "starlette"])
def test_an_import_inside_a_function_is_seen(tmp_path, monkeypatch, module):
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    (tmp_path / "a.py").write_text(f"def f():\n    from {module}.b import c\n")
    assert imported(tmp_path) == {module: {"a.py"}}
