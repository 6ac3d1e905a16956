"""The rules of the house, read off the code itself: who imports whom, what has a test, what the documents say."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cli.main import cli
from cli.reference import reference, walk
from tfdrift.methods import METHODS

ROOT = Path(__file__).parents[1]
ORDER = [
    "errors", "axes", "files", "on_disk", "processes", "cluster", "drawing", "statistics", "imaging", "diffusion",
    "model", "methods", "config", "cohort", "synthetic", "importing", "training", "evaluation", "reproduction",
    "serving", "export", "clinic", "app", "cli",
]  # fmt: skip
OTHER_TEST_FILES = {
    "tests/test_house.py",
    "tests/test_readme.py",
    "tests/test_manual.py",
    "tests/test_setup.py",
    "tests/test_deploy.py",
    "tests/test_saved_models.py",
    "tests/test_network_doc.py",
    "tests/test_golden.py",
    "tests/test_architecture.py",
    "tests/conformance/test_tables.py",
    "tests/test_docstrings.py",
    "tests/test_old_runs.py",
    "tests/training/test_adamw.py",  # proves a library's optimiser, see ADR 1
    "tests/conformance/test_variants.py",
    "tests/conformance/test_whole_lesion.py",
    "tests/conformance/test_context.py",
    "tests/conformance/test_own_method.py",
    "tests/conformance/test_conditions.py",
    "tests/conformance/test_recipe.py",
    "tests/training/test_pretrained.py",  # train and run_folder together
    "tests/conformance/test_tf_serving.py",
    "tests/app/test_pages.py",  # the page in a browser
}
MODULES = sorted(path.relative_to(ROOT) for folder in ("tfdrift", "cli") for path in (ROOT / folder).rglob("*.py"))


def package_of(path: Path) -> str:
    """Return the place in the order of a module, such as `imaging` for tfdrift/imaging/series.py."""
    return "cli" if path.parts[0] == "cli" else path.parts[1].removesuffix(".py")


def mirror(path: Path) -> Path:
    """Return where the test of a module belongs: tests/imaging/test_series.py for tfdrift/imaging/series.py."""
    place = path.relative_to("tfdrift") if path.parts[0] == "tfdrift" else path
    return Path("tests") / place.parent / f"test_{path.name}"


def imported_packages(path: Path, source: str) -> set[str]:
    """Return the places in the order that a module imports from, at its top or inside its functions."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            inside = ".".join(path.parts[: len(path.parts) - node.level])
            module = ".".join(filter(None, [inside if node.level else "", node.module]))
            names = [module, *(f"{module}.{alias.name}" for alias in node.names)]
        for name in names:
            parts = name.split(".")
            if parts[0] in ("cli", "tfdrift_cli"):
                found.add("cli")
            elif parts[0] == "tfdrift" and len(parts) > 1 and parts[1] in ORDER:
                found.add(parts[1])
    return found


def wrong_imports(path: Path, source: str) -> set[str]:
    """Return the packages to the right of its own that a module imports from."""
    place = package_of(path)
    if place == "__init__":
        return imported_packages(path, source)
    if place == "serving":  # it serves any SavedModel, of whoever made it
        return imported_packages(path, source) - {"serving", "errors"}
    return {name for name in imported_packages(path, source) if ORDER.index(name) > ORDER.index(place)}


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_imports_run_one_way(path):
    assert wrong_imports(path, (ROOT / path).read_text(encoding="utf-8")) == set()


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("tfdrift/imaging/series.py", "from tfdrift.cohort import crop"),
        ("tfdrift/model/unet.py", "def f():\n    import tfdrift.training.step"),
        ("tfdrift/training/train.py", "from ..evaluation.metrics import skill"),
        ("tfdrift/errors.py", "from tfdrift import config"),
        ("tfdrift/export/push.py", "import tfdrift_cli.main"),
        ("tfdrift/serving/server.py", "from tfdrift.files import write_whole"),
    ],
)
def test_a_planted_import_against_the_order_is_seen(path, source):
    assert wrong_imports(Path(path), source)


def test_modules_that_must_not_import_tensorflow_do_not():
    light = [
        str(path.with_suffix("")).replace("/", ".").removesuffix(".__init__")
        for path in MODULES
        if package_of(path) in ("errors", "config", "statistics", "imaging", "cohort") and path.stem != "store"
    ]
    code = (
        f"import importlib, sys\nfor name in {[*light, 'tfdrift_cli.main', 'tfdrift_cli.reference']}:\n"
        "    importlib.import_module(name)\n"
        "heavy = {'tensorflow', 'keras'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("arguments", ["--help", "--version"])
def test_help_and_version_answer_at_once_without_tensorflow(arguments):
    code = f"import sys; from tfdrift_cli.main import main\ntry: main(['{arguments}'])\nexcept SystemExit: pass\n"
    code += "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    # The processor's time, which a busy machine does not lengthen: nothing here waits for disk or network.
    seconds = []
    for _ in range(5):
        before = os.times()
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
        after = os.times()
        seconds.append(after.children_user + after.children_system - before.children_user - before.children_system)
    assert min(seconds) < 0.3


@pytest.mark.parametrize("path", [path for path in MODULES if not path.stem.startswith("__")], ids=str)
def test_every_module_has_its_test(path):
    assert (ROOT / mirror(path)).is_file()


def test_every_test_file_belongs_to_a_module():
    tests = {path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("test_*.py")}
    mirrored = {mirror(path).as_posix() for path in MODULES}
    assert tests - mirrored == OTHER_TEST_FILES


@pytest.mark.parametrize(("name", "command"), [(name, command) for name, command, _ in walk(cli)])
def test_every_command_has_help_with_an_example(name, command):
    assert command.help
    assert "Example" in command.help
    assert f"  {name}" in command.help


def test_the_command_line_reference_is_what_the_commands_say():
    written = (ROOT / "docs/cli.md").read_text(encoding="utf-8")
    assert written == reference(), "docs/cli.md is old; run `make docs`"
    for name, _, _ in walk(cli):
        assert f"## {name}\n" in written


PACKAGES = sorted({path.parent for path in MODULES})


@pytest.mark.parametrize("package", PACKAGES, ids=str)
def test_a_package_has_at_most_twenty_files(package):
    assert len([path for path in MODULES if path.parent == package]) <= 20


@pytest.mark.parametrize("package", PACKAGES, ids=str)
def test_a_packages_docstring_is_the_table_of_contents_of_its_files(package):
    text = ast.get_docstring(ast.parse((ROOT / package / "__init__.py").read_text(encoding="utf-8"))) or ""
    told = re.findall(r"^ *(\w+) {2,}\S", text, re.MULTILINE)
    files = [path.stem for path in MODULES if path.parent == package and not path.stem.startswith("__")]
    inside = [folder.name for folder in PACKAGES if folder.parent == package]
    assert sorted(told) == sorted(files + inside)


# By hand: `images[..., 0]`, `axis=(1, 2, 3)`, or a shape of ones for a batch.
COUNTED_AXES = re.compile(r"\[\.\.\., (?:0|:1)\]|axis=[(\[]1, 2, 3[)\]]|\[-1, 1, 1, 1\]")


@pytest.mark.parametrize("path", [path for path in MODULES if path != Path("tfdrift/axes.py")], ids=str)
def test_only_one_module_counts_the_axes_of_images(path):
    lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if COUNTED_AXES.search(line)] == []


def compared_names(source: str) -> list[str]:
    """Return the methods that a module compares something with, or looks up by name in a literal table."""
    found = []
    for node in ast.walk(ast.parse(source)):
        compared = [node.left, *node.comparators] if isinstance(node, ast.Compare) else []
        compared += node.keys if isinstance(node, ast.Dict) else []
        found += [one.value for one in compared if isinstance(one, ast.Constant) and one.value in METHODS]
    return found


# An experiment of the paper is about a method, which it names.
NAMING = ("methods", "reproduction")


@pytest.mark.parametrize("path", [path for path in MODULES if path.parts[1] not in NAMING], ids=str)
def test_no_other_package_asks_for_a_methods_name(path):
    assert compared_names((ROOT / path).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source", ["if method == 'direct': pass", "x = {'method1': 1}[method]", "m in ('a', 'b') or 'method2' != m"]
)
def test_a_planted_comparison_with_a_methods_name_is_seen(source):
    assert compared_names(source)


def test_no_file_name_says_nothing():
    vague = {"util", "utils", "helper", "helpers", "common", "misc", "core", "base"}
    assert [path for path in MODULES if path.stem in vague] == []


def test_links_between_documents_lead_somewhere():
    for document in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), f"{document.relative_to(ROOT)} points to {target}"


NAMED_FILE = re.compile(r"`((?:tests|tfdrift|benchmarks)/[\w/]+\.py)")
NAMED_MODULE = re.compile(r"`(?:tfdrift\.)?([a-z]+)\.([a-z]\w*)")


def names_of_nothing(text: str) -> list[str]:
    """Return the files and modules that a text names and that are not there."""
    packages = {path.name for path in PACKAGES if path.parts[0] == "tfdrift"} - {"tfdrift"}
    found = [name for name in NAMED_FILE.findall(text) if not (ROOT / name).is_file()]
    for package, name in NAMED_MODULE.findall(text):
        inside = ROOT / "tfdrift" / package
        if package in packages and not (inside / f"{name}.py").is_file() and name not in ("py", "json", "csv"):
            found.append(f"{package}.{name}")
    return found


PAGES = [Path("README.md"), *sorted(path.relative_to(ROOT) for path in (ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_documents_name_only_files_and_modules_that_are_there(page):
    assert names_of_nothing((ROOT / page).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("text", ["see `tests/test_nothing.py`", "`imaging.utils`", "`tfdrift.model.nothing.f`"])
def test_a_planted_name_of_nothing_is_seen(text):
    assert names_of_nothing(text)


# A folder that only the machine of whoever wrote it has; /home/someone stands for a user's folder in tests.
MACHINE_PATH = re.compile(r"(?<![\w.~/-])/(?:home|root|Users|work|opt)/(?!someone\b)\w")


def test_no_tracked_file_names_a_folder_of_one_machine():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout, so nothing says which files belong to the project")
    # Others' code that comes as it is may name folders of its own.
    names = [name for name in listed.stdout.split("\0") if name and not name.endswith(".min.js")]
    files = [ROOT / name for name in names if (ROOT / name).is_file()]
    assert files
    found = {str(path): MACHINE_PATH.search(path.read_text(encoding="utf-8", errors="ignore")) for path in files}
    assert [name for name, match in found.items() if match] == []


@pytest.mark.parametrize("text", ["see " + "/home" + "/ada/x", "--out=" + "/root" + "/runs", "'" + "/Users" + "/ada'"])
def test_a_planted_folder_of_one_machine_is_seen(text):
    assert MACHINE_PATH.search(text)
