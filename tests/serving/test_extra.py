import subprocess
import sys

from tests.serving.tiny_models import save_half_plus
from tfdrift.serving.extra import MODULES, has_extra, require_extra

BLOCK = f"import sys\nfor name in {sorted(MODULES)}:\n    sys.modules[name] = None\n"


def run(code: str, *arguments: str) -> subprocess.CompletedProcess:
    """Run code in a process in which none of the extra's packages can be imported."""
    command = [sys.executable, "-c", BLOCK + code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_it_is_installed_here():
    assert has_extra()
    require_extra()


def test_without_the_extra_everything_but_the_servers_can_be_imported():
    code = """
import importlib, pkgutil, tfdrift, tfdrift_cli
failed = set()
for package in (tfdrift, tfdrift_cli):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if module.name.endswith("__main__"):
            continue
        try:
            importlib.import_module(module.name)
        except ImportError as error:
            failed.add((module.name, error.name))
print(sorted(name for name, missing in failed))
assert all(missing.split(".")[0] in sys.argv[1:] for _, missing in failed), failed
"""
    done = run(code, *MODULES)
    assert done.returncode == 0, done.stderr
    needs_it = [
        *("tfdrift.app." + name for name in ("access", "calls", "server")),
        *(
            "tfdrift.serving." + name
            for name in ("examples", "grpc_api", "inference", "monitoring", "rest_api", "server")
        ),
    ]
    assert done.stdout == f"{needs_it}\n"


def test_without_the_extra_serve_ends_with_4_and_says_how_to_get_it(tmp_path):
    save_half_plus(tmp_path / "half/1")
    arguments = ["serve", str(tmp_path), "--engine", "embedded", "--grpc-port=0", "--rest_api_port=0"]
    done = run("from tfdrift_cli.main import main\nmain(sys.argv[1:])", *arguments)
    assert (done.returncode, done.stdout) == (4, "")
    needed = "grpc_health, prometheus_client, starlette, uvicorn"
    assert done.stderr == f"Error: the embedded server needs {needed}; run: pip install 'tfdrift[serve]'\n"
