"""The pages: a blueprint at ``STATISTICS_URL_PREFIX``, rendered on the server.

A page's whole state is in its URL. Everything works without JavaScript; the script draws the
chart from the table beside it, and swaps the chart without loading the page anew.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import sqlalchemy as sa
from flask import Blueprint, Response, request

from ..config import Config
from ..errors import ArchiveError, MissingExtraError, QueryError, QueryTimeoutError
from ..recording.excluding import BLUEPRINT
from . import api, exporting, failures, overview, sections
from ._folders import packaged_folder
from .explained import bounded_view
from .failures import missing_tables
from .links import Links, endpoint_url
from .overview import chart, chips, presets, same_span, tiles, totals
from .panels import panel_of
from .permissions import Action, Refused, allowed, make_guard
from .questions import Question, ask, label, newest_day
from .rendering import page, render
from .sections import (
    VALUE_ROWS,
    check_order,
    failing_requests,
    panel_values,
    panels,
    slowest_requests,
    urls,
    values,
)

_YEAR = 31_536_000


def make_blueprint(config: Config) -> Blueprint:
    """Return the blueprint of the pages and of the JSON answers."""
    blueprint = Blueprint(
        BLUEPRINT,
        __name__,
        url_prefix=config.url_prefix,
        static_folder="static",
        template_folder=str(packaged_folder("templates")),
    )
    decisions: dict[str, Action | None] = {f"{BLUEPRINT}.static": None}
    for rule, name, view, action in (*PAGES, *api.ROUTES, *exporting.ROUTES):
        blueprint.add_url_rule(rule, name, _without_extras(view))
        decisions[f"{BLUEPRINT}.{name}"] = action
    blueprint.before_request(make_guard(decisions))
    blueprint.after_request(_keep_assets)
    blueprint.register_error_handler(QueryError, failures.bad_question)
    blueprint.register_error_handler(Refused, failures.refused)
    blueprint.register_error_handler(QueryTimeoutError, failures.too_long)
    for error in (ArchiveError, MissingExtraError):
        blueprint.register_error_handler(error, failures.out_of_service)
    blueprint.register_error_handler(sa.exc.SQLAlchemyError, failures.database_failed)
    return blueprint


def _without_extras(view: Callable[..., Any]) -> Callable[..., Any]:
    """Let a view be called although a ``url_value_preprocessor`` of the host added values.

    It is bounded in time, and explained where that is asked for.
    """

    def call(**values: Any) -> Any:
        dimension = values.get("dimension")
        return bounded_view(view if dimension is None else partial(view, dimension))

    return call


def _keep_assets(response: Response) -> Response:
    if request.endpoint == f"{BLUEPRINT}.static":
        response.headers["X-Content-Type-Options"] = "nosniff"
        if "v" in request.args and response.status_code == 200:
            response.headers["Cache-Control"] = f"public, max-age={_YEAR}, immutable"
    return response


def show_dashboard() -> Response:
    question = ask()
    links = Links.of_request(endpoint_url(f"{BLUEPRINT}.dashboard"))
    context = dashboard_context(question, links)
    question.state.destroy_expired_salts()
    return page(render("flask_statistics/dashboard.html", **context))


def show_chart() -> Response:
    """Answer the tiles and the chart alone, for the script."""
    root = endpoint_url(f"{BLUEPRINT}.dashboard")
    return page(chart_html(ask(), Links.of_request(root, here=root)))


def show_breakdown(dimension: str) -> Response:
    question = ask()
    links = Links.of_request(endpoint_url(f"{BLUEPRINT}.dashboard"))
    context = breakdown_context(question, links, dimension)
    return page(render("flask_statistics/breakdown.html", **context))


def chart_html(question: Question, links: Links) -> str:
    """Return the HTML of the tiles and the chart."""
    return render("flask_statistics/_chart.html", **_chart_context(question, links))


def _chart_context(question: Question, links: Links) -> dict[str, Any]:
    question.answers.many(overview.asks(question))
    now = totals(question)
    comparison = same_span(question)
    before = totals(question, comparison) if comparison else {}
    return {
        "question": question,
        "links": links,
        "totals": now,
        "tiles": tiles(question, links, now, before),
        "compared": comparison,
        "chart": chart(question, links) if now["hits"] else None,
    }


def dashboard_context(question: Question, links: Links) -> dict[str, Any]:
    """Return all that the template of the dashboard shows."""
    check_order(question)
    question.answers.many([*overview.asks(question), *sections.asks(question)])
    context = {**_frame_context(question, links), **_chart_context(question, links)}
    recorded = bool(context["totals"]["hits"])
    narrowed = recorded and question.url is not None
    return context | {
        "newest": None if recorded else newest_day(question),
        "urls": urls(question, links) if recorded else None,
        "panels": panels(question, links, context["totals"]) if recorded else [],
        "slowest": slowest_requests(question) if narrowed else None,
        "failing": failing_requests(question) if narrowed else None,
    }


def breakdown_context(question: Question, links: Links, dimension: str) -> dict[str, Any]:
    """Return all that the template of one dimension's values shows."""
    panel = panel_of(dimension, question.columns)
    if panel is None:
        table, heading = values(question, links, dimension, VALUE_ROWS), label(dimension)
    else:
        table, heading = panel_values(question, links, panel, dimension), panel.label
    return _frame_context(question, links) | {"table": table, "heading": heading}


def _frame_context(question: Question, links: Links) -> dict[str, Any]:
    state = question.state
    return {
        "app_name": state.app_name,
        "question": question,
        "links": links,
        "presets": presets(question.today),
        "chips": chips(question.query, links),
        "manages": allowed("manage"),
        "missing_tables": missing_tables(state),
        "recorder": state.recorder.status(),
    }


#: rule, endpoint, view, the action that it needs
PAGES: tuple[tuple[str, str, Callable[..., Response], Action], ...] = (
    ("/", "dashboard", show_dashboard, "view"),
    ("/chart", "chart", show_chart, "view"),
    ("/breakdown/<dimension>", "breakdown", show_breakdown, "view"),
)
