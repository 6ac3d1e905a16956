from html.parser import HTMLParser

from tfdrift.evaluation.html_page import as_html

PAGE = """# Method 1 on phantom

| | skill |
|---|---:|
| copy | 0.000 |

![Skills](skills.png)

![Levels](levels.png)
"""


class Tags(HTMLParser):
    """Collects tags with their attributes, and the text."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def test_the_html_needs_no_other_file():
    page = Tags(as_html(PAGE, dict.fromkeys(("skills", "levels"), b"\x89PNG")))
    images = [attributes["src"] for tag, attributes in page.tags if tag == "img"]
    assert images == ["data:image/png;base64,iVBORw=="] * 2
    assert not any(tag in ("script", "link") for tag, _ in page.tags)


def test_the_html_holds_tables_as_tables_and_its_title():
    page = Tags(as_html(PAGE, {}))
    assert [tag for tag, _ in page.tags].count("table") == 1
    assert "0.000" in page.text
    assert ("title", {}) in page.tags
    assert page.text.count("Method 1 on phantom") == 2  # the title and the heading
