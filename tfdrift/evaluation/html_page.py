"""A page with its pictures in one HTML file that needs nothing else: no script, no file beside it, no network."""

import base64
from collections.abc import Mapping

import markdown


def as_html(page: str, pictures: Mapping[str, bytes]) -> str:
    """Return the page as one HTML file with its pictures inside.

    Args:
        page: Markdown of `compose`.
        pictures: PNG files by name.
    """
    body = markdown.markdown(page, extensions=["tables"], output_format="html")
    for name, data in pictures.items():
        body = body.replace(f'src="{name}.png"', f'src="data:image/png;base64,{base64.b64encode(data).decode()}"')
    title = page.splitlines()[0].removeprefix("# ")
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        f'<meta name="viewport" content="width=device-width">\n<style>{_STYLE}</style>\n</head>\n'
        f"<body>\n{body}\n</body>\n</html>\n"
    )


_STYLE = """
:root { color-scheme: light; }
body { max-width: 66rem; margin: 2.5rem auto 4rem; padding: 0 1.5rem; color: #1b1f24; background: #fff;
  font: 16px/1.55 -apple-system, "Segoe UI", "Noto Sans", "DejaVu Sans", sans-serif; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 .4rem; letter-spacing: -.01em; }
h1 + p { color: #59636e; margin-top: 0; }
h2 { font-size: 1.2rem; margin: 2.6rem 0 .8rem; padding-top: 1.1rem; border-top: 1px solid #d8dee4; }
p, li { max-width: 46rem; }
p:has(img) { max-width: none; }
img { max-width: min(100%, 42rem); display: block; margin: 1rem 0; }
img[alt*="lesion"], img[alt*="slice"] { max-width: 100%; }
table { border-collapse: collapse; margin: 1rem 0; font-size: .78rem; font-variant-numeric: tabular-nums;
  display: block; overflow-x: auto; }
th { color: #59636e; font-weight: 600; border-bottom: 2px solid #d8dee4; vertical-align: bottom; }
th, td { padding: .35rem .5rem; text-align: right; white-space: nowrap; }
td { border-bottom: 1px solid #eaeef2; }
th { white-space: normal; min-width: 3.6rem; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
code { font-size: .9em; background: #f3f5f7; padding: .1em .3em; border-radius: 4px; }
"""
