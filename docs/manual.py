"""What mkdocs.yml needs beside its plugins: formulas without a script, and the examples of docstrings as code."""

import html
import re

import griffe
from latex2mathml.converter import convert

FORMULA = re.compile(r'<(div|span) class="arithmatex">\\[\[(](.*?)\\[\])]</\1>', re.DOTALL)
CONTENTS = re.compile(r"(?:^ *\w+ {2,}\S.*\n?)+", re.MULTILINE)


def as_list(table: re.Match) -> str:
    """Return a table of names and what they are as a list of Markdown."""
    rows = [line.split(maxsplit=1) for line in table[0].splitlines()]
    return "\n".join(["", *(f"- `{name}`: {said}" for name, said in rows), ""])


def on_page_content(content: str, **_) -> str:
    """Return a page's HTML with each formula of LaTeX turned into MathML, which browsers draw by themselves."""

    def mathml(match: re.Match) -> str:
        return convert(html.unescape(match[2]).strip(), display="block" if match[1] == "div" else "inline")

    return FORMULA.sub(mathml, content)


class Docstrings(griffe.Extension):
    """What our docstrings have in their own way, in the way that griffe shows well."""

    def on_instance(self, *, obj: griffe.Object, **_) -> None:
        """Make code of what stands under `Example:`, and a list of a package's table of its files."""
        if obj.docstring:
            obj.docstring.value = obj.docstring.value.replace("Example:\n", "Examples:\n")
            if obj.is_module:
                obj.docstring.value = CONTENTS.sub(as_list, obj.docstring.value)
