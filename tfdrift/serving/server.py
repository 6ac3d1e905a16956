"""An embedded server with TF Serving's wire protocol, for development and single machines."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple


class RunningServer(NamedTuple):
    """Where a server listens."""

    grpc_port: int
    rest_port: int


@contextmanager
def embedded_server(
    models: Mapping[str, Path],
    *,
    host: str = "127.0.0.1",
    grpc_port: int = 0,
    rest_port: int = 0,
    poll_seconds: float = 1.0,
) -> Iterator[RunningServer]:
    """Serve models until the block ends.

    Args:
        models: folder of the versions of each model by its name.
        host: address to listen on.
        grpc_port: 0 takes any free port.
        rest_port: 0 takes any free port.
        poll_seconds: how often the folders are searched for new versions.

    Yields:
        The server, once every model is loaded or known to have failed.
    """
    raise NotImplementedError
