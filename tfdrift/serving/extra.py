"""The extra `serve`: the packages that the embedded server and the page need and nothing else does."""

from importlib.util import find_spec

from tfdrift.errors import ResourceError

MODULES = frozenset({"starlette", "uvicorn", "prometheus_client", "grpc_health"})


def has_extra() -> bool:
    """Return whether an embedded server can be started."""
    return all(find_spec(name) for name in MODULES)


def require_extra() -> None:
    """Refuse to go on without the packages of the extra.

    Raises:
        ResourceError: one of them is not installed.
    """
    missing = sorted(name for name in MODULES if not find_spec(name))
    if missing:
        raise ResourceError(f"the embedded server needs {', '.join(missing)}; run: pip install 'tfdrift[serve]'")
