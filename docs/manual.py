"""What mkdocs.yml needs beside its plugins: formulas without a script, and the examples of docstrings as code."""

import html
import re

import griffe
from latex2mathml.converter import convert

FORMULA = re.compile(r'<(div|span) class="arithmatex">\\[\[(](.*?)\\[\])]</\1>', re.DOTALL)


def on_page_content(content: str, **_) -> str:
    """Return a page's HTML with each formula of LaTeX turned into MathML, which browsers draw by themselves."""

    def mathml(match: re.Match) -> str:
        return convert(html.unescape(match[2]).strip(), display="block" if match[1] == "div" else "inline")

    return FORMULA.sub(mathml, content)


class Examples(griffe.Extension):
    """Our docstrings say `Example:`; griffe shows as code what stands under `Examples:`."""

    def on_instance(self, *, obj: griffe.Object, **_) -> None:
        """Rename the heading."""
        if obj.docstring:
            obj.docstring.value = obj.docstring.value.replace("Example:\n", "Examples:\n")
