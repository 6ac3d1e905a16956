import click

from cli.reference import reference, walk
from tests.command_line import exit_code


def test_the_walk_reaches_commands_below_groups():
    @click.group()
    def outer():
        pass

    @outer.group()
    def inner():
        pass

    @inner.command()
    def leaf():
        pass

    assert [name for name, _, _ in walk(outer, ("outer",))] == ["outer", "outer inner", "outer inner leaf"]


def test_the_reference_shows_each_option_with_its_default():
    text = reference()
    assert "--noise-level" in text
    assert "[default: shared; method2: decoupled]" in " ".join(text.split())


def test_the_reference_shows_the_help_that_the_command_prints(capsys):
    assert exit_code(["cohort", "scan", "--help"]) == 0
    printed = " ".join(capsys.readouterr().out.split())  # a terminal may be narrower
    assert "-h, --help" in printed
    assert f"## tfdrift cohort scan ```text {printed} ```" in " ".join(reference().split())
