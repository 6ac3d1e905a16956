"""The command line called in this process."""

from cli.main import main


def exit_code(arguments: list[str]) -> int | str | None:
    """Run `tfdrift` with these arguments and return the code it ends with."""
    try:
        main(arguments)
    except SystemExit as stopped:
        return stopped.code
    raise AssertionError("the command line always ends by SystemExit")
