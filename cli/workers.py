"""`tfdrift workers`: a cluster of this machine's processes."""

import ipaddress
import os
import time

import click

_LOOK_SECONDS = 0.2


@click.command()
@click.option("--count", type=click.IntRange(1), help="How many.  [default: one for each processor]")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8786, show_default=True, type=click.IntRange(0, 65535), help="0 is any that is free.")
def workers(count: int | None, host: str, port: int) -> None:
    """Start a Dask scheduler with workers on this machine, one job each at a time, until Ctrl-C.

    Its address goes to --scheduler of cohort import, crossval and reproduce. Workers of other machines join with `dask
    worker ADDRESS`; SLURM and Kubernetes have dask-jobqueue and dask-kubernetes, whose schedulers do as well. A worker
    that dies is started again, and its job goes to another.

    \b
    Example:
      tfdrift workers --count 4
      tfdrift crossval method1 --scheduler tcp://127.0.0.1:8786
    """
    from tfdrift.cluster import local_cluster
    from tfdrift.training.signals import stop_on_signals

    number = count or os.cpu_count() or 1
    with stop_on_signals() as stopped_by, local_cluster(count=number, host=host, port=port) as address:
        if not _is_loopback(host):
            click.echo(f"whoever reaches {address} runs programs as you: keep it in a trusted network", err=True)
        click.echo(f"{number} workers at {address}; use it with --scheduler {address}, stop it with Ctrl-C")
        while not stopped_by:
            time.sleep(_LOOK_SECONDS)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
