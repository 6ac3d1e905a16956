import re
from pathlib import Path

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_the_python_example_runs_and_prints_a_skill(capsys):
    examples = re.findall(r"```python\n(.*?)```", README, re.S)
    assert len(examples) == 1
    exec(compile(examples[0], "README.md", "exec"), {})
    assert re.search(r"skill over copy -?\d\.\d\d on \d+ held-out patients", capsys.readouterr().out)


def test_every_command_it_shows_exists():
    from cli.main import cli
    from cli.reference import walk

    known = {name for name, _, _ in walk(cli)}
    blocks = "\n".join(re.findall(r"```\n(.*?)```", README, re.S))
    shown = set(re.findall(r"^(tfdrift [a-z]+)", blocks, re.M))
    assert shown
    assert shown <= known
