"""What the tests of the pages share: rows to show, and a reader of HTML."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy

if TYPE_CHECKING:
    from tests.conftest import Host

#: The days that :func:`add_rows` fills.
RANGE = "start=2024-05-01&end=2024-05-03"
FIRST = datetime(2024, 5, 1, 10)

#: Elements that are never closed.
_VOID = {"meta", "link", "input", "br", "rect", "img"}


def classic_model(db: SQLAlchemy) -> Any:
    """The model of the classic flask-statistics."""

    class Request(db.Model):  # type: ignore[name-defined, misc, unused-ignore]
        index = db.Column(db.Integer, primary_key=True, autoincrement=True)
        response_time = db.Column(db.Float)
        date = db.Column(db.DateTime)
        method = db.Column(db.String(20))
        size = db.Column(db.Integer)
        status_code = db.Column(db.Integer)
        path = db.Column(db.String(200))
        user_agent = db.Column(db.String(200))
        remote_address = db.Column(db.String(60))
        exception = db.Column(db.String(200))
        referrer = db.Column(db.String(200))
        browser = db.Column(db.String(60))
        platform = db.Column(db.String(60))
        mimetype = db.Column(db.String(60))

    return Request


def row(number: int = 0, **values: Any) -> dict[str, Any]:
    """Return the columns of one request; unlike in ``values``, those of a person's page view."""
    return {
        "date": FIRST + timedelta(hours=number),
        "method": "GET",
        "path": "/",
        "route": "/",
        "status_code": 200,
        "mimetype": "text/html",
        "size": 1000,
        "response_time": 0.1,
        "remote_address": "192.0.2.7",
        "visitor": "anna",
        "visit": "anna-1",
        "browser": "Firefox",
        **values,
    }


def add_rows(host: Host, *rows: dict[str, Any]) -> None:
    """Insert requests; values of columns that the model lacks are left out."""
    table = host.Request.__table__
    kept = [{name: value for name, value in r.items() if name in table.c} for r in rows]
    with host.engine.begin() as connection:
        for values in kept:
            connection.execute(sa.insert(table), values)


@dataclass
class Element:
    """One element of a page."""

    tag: str
    attributes: dict[str, str]
    parts: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.parts)


@dataclass
class Page(HTMLParser):
    """A page that was parsed: its elements, each with the text inside it."""

    elements: list[Element] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.parts)

    def __post_init__(self) -> None:
        super().__init__()
        self._open: list[Element] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.elements.append(element)
        if tag not in _VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        closed = self._open.pop()
        assert closed.tag == tag, f"<{closed.tag}> is closed by </{tag}>"

    def handle_data(self, data: str) -> None:
        self.parts.append(data)
        for element in self._open:
            element.parts.append(data)

    def all(self, tag: str, **attributes: str) -> list[Element]:
        """Return the elements with this tag and these attributes (``class_`` for ``class``)."""
        wanted = {name.rstrip("_").replace("_", "-"): v for name, v in attributes.items()}
        return [
            element
            for element in self.elements
            if element.tag == tag
            and all(
                value in element.attributes.get(name, "").split()
                if name == "class"
                else element.attributes.get(name) == value
                for name, value in wanted.items()
            )
        ]

    def links(self, text: str) -> list[str]:
        """Return where the links with this text lead."""
        return [a.attributes["href"] for a in self.all("a") if a.text.strip() == text]

    def tiles(self) -> dict[str, str]:
        """Return the exact value of each tile."""
        names = [a.attributes["data-metric"] for a in self.all("a", class_="st-tile")]
        values = [d.attributes["value"] for d in self.all("data", class_="st-value")]
        return dict(zip(names, values, strict=True))

    def headings(self) -> list[str]:
        return [h.text.strip() for h in self.all("h2")]


def read(html: str) -> Page:
    """Parse a page.

    :raises AssertionError: where an element is not closed, or carries script or style.
    """
    page = Page()
    page.feed(html)
    page.close()
    assert not page._open, [element.tag for element in page._open]
    for element in page.elements:
        assert element.tag not in {"style", "base", "iframe", "object"}, element
        assert not [name for name in element.attributes if name.startswith("on")], element
        assert "style" not in element.attributes, element
        assert element.tag != "script" or (element.attributes["src"] and not element.text), element
        for name in ("href", "src", "action"):
            where = element.attributes.get(name, "/")
            assert where.startswith(("/", "#")), element
            assert not where.startswith("//"), element
    return page


def show(host: Host, url: str = f"/statistics/?{RANGE}", status: int = 200) -> Page:
    """Open a page of the statistics and parse it."""
    answer = host.open(url)
    assert answer.status_code == status, answer.text
    assert answer.mimetype == "text/html"
    return read(answer.text)
