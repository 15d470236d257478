"""The dashboard and a read-only list of the requests inside Flask-Admin.

Under the same permissions as the pages: where they are closed, the views are, and the menu does
not show them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from functools import partial, wraps
from typing import Any

import sqlalchemy as sa
from flask import Blueprint, Flask, Response
from flask_admin import Admin, BaseView, expose
from flask_admin.contrib.sqla import ModelView
from markupsafe import Markup
from sqlalchemy.orm import Session
from wtforms import Form

from ..asking.reading import reading
from ..errors import ConfigurationError, QueryError, QueryTimeoutError
from ..fields import BY_NAME, PERSONAL
from ..model import Model
from ..owning.spreadsheets import safe
from ..state import State, get_state
from . import failures
from .dashboard import breakdown_context, chart_html, dashboard_context
from .explained import bounded_view
from .formats import duration, moment
from .links import Links, endpoint_url
from .permissions import Refused, allowed, enter, require
from .questions import ask
from .rendering import SECURITY_HEADERS, asset_url, page, render

#: Rows of a CSV file at most.
MOST_ROWS = 100_000
_LAST_PAGE = 10_000_000
_LONGEST_SEARCH = 1000
_LISTED = (
    "date",
    "method",
    "path",
    "route",
    "status_code",
    "response_time",
    "size",
    "browser",
    "platform",
    "bot",
    "exception",
    "remote_address",
    "username",
)
_SEARCHED = ("path", "url", "referrer", "user_agent", "exception")


#: What the list of requests reads with.
_session: ContextVar[Session | None] = ContextVar("flask_statistics_session", default=None)


def _moment(view: Any, context: Any, model: Any, name: str) -> str:
    return moment(getattr(model, name), get_state().config.timezone)


def _duration(view: Any, context: Any, model: Any, name: str) -> str:
    return duration(getattr(model, name))


_FORMATTERS = {"date": _moment, "response_time": _duration, "db_time": _duration}


def add_admin_views(state: State, admin: Admin, category: str) -> None:
    """Add the dashboard and the list of requests to a Flask-Admin, under one menu category.

    :raises ConfigurationError: where the admin belongs to no app yet.
    """
    if admin.app is None:
        raise ConfigurationError(
            "statistics.add_admin_views(admin) needs an admin with an app: "
            "call it after `Admin(app)` or `admin.init_app(app)`."
        )
    dashboard = DashboardView(
        name="Dashboard", category=category, endpoint="admin_statistics", url="statistics"
    )
    requests = RequestView(state.model, admin.app, category)
    for view in (dashboard, requests):
        admin.add_view(view)
        state.own_endpoints.add(f"{view.endpoint}.*")
        state.own_paths.add(str(view.url).rstrip("/"))


class _Guarded(BaseView):  # type: ignore[misc] # Flask-Admin is not typed for us
    """A view that is open to those to whom the pages are open."""

    def create_blueprint(self, admin: Admin) -> Blueprint:
        blueprint: Blueprint = super().create_blueprint(admin)
        blueprint.after_request(_keep_private)
        return blueprint

    def is_accessible(self) -> bool:
        return allowed("view")

    def is_visible(self) -> bool:
        return allowed("view")

    def inaccessible_callback(self, name: str, **kwargs: Any) -> Any:
        """Answer as the pages would: what ``before_f`` returns, else 403."""
        try:
            entered = enter()
        except Refused as refusal:
            return failures.refused(refusal)
        return failures.refused(Refused("view")) if entered is None else entered

    def _run_view(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        try:
            return bounded_view(partial(super()._run_view, fn, *args, **kwargs))
        except QueryError as error:
            return failures.bad_question(error)
        except QueryTimeoutError as error:
            return failures.too_long(error)
        except Refused as refusal:
            return failures.refused(refusal)
        except (sa.exc.DataError, OverflowError):
            return failures.bad_question(QueryError("filter", "no request can have this value"))
        except sa.exc.SQLAlchemyError as error:
            return failures.database_failed(error)


def _keep_private(response: Response) -> Response:
    # Not the policy for content: the frame is Flask-Admin's, with scripts of its own.
    for name in ("Cache-Control", "X-Content-Type-Options", "Referrer-Policy"):
        response.headers[name] = SECURITY_HEADERS[name]
    return response


class DashboardView(_Guarded):
    """The dashboard in Flask-Admin's frame, whose style and scripts are its own."""

    @property
    def extra_css(self) -> list[str]:
        return [asset_url("uplot/uPlot.min.css"), asset_url("style.css")]

    @property
    def extra_js(self) -> list[str]:
        return [asset_url("uplot/uPlot.iife.min.js"), asset_url("dashboard.js")]

    @property
    def _root(self) -> str:
        return endpoint_url(f"{self.endpoint}.index")

    @expose("/")  # type: ignore[untyped-decorator]
    def index(self) -> str:
        question = ask()
        context = dashboard_context(question, Links.of_request(self._root))
        question.state.destroy_expired_salts()
        return self._framed("flask_statistics/admin_dashboard.html", context)

    @expose("/chart")  # type: ignore[untyped-decorator]
    def chart(self) -> Response:
        return page(chart_html(ask(), Links.of_request(self._root, here=self._root)))

    @expose("/breakdown/<dimension>")  # type: ignore[untyped-decorator]
    def breakdown(self, dimension: str) -> str:
        context = breakdown_context(ask(), Links.of_request(self._root), dimension)
        return self._framed("flask_statistics/admin_breakdown.html", context)

    def _framed(self, template: str, context: dict[str, Any]) -> str:
        content = Markup(render(template, **context))  # noqa: S704 - our own, escaped template
        html: str = self.render("flask_statistics/admin.html", statistics_content=content)
        return html


class RequestView(_Guarded, ModelView):  # type: ignore[misc]
    """A read-only list of the requests. Personal columns only for whom may see them."""

    can_create = can_edit = can_delete = False
    can_view_details = True
    can_set_page_size = True
    named_filter_urls = True
    page_size = 50
    page_size_options = (20, 50, 100, 500)
    export_max_rows = MOST_ROWS
    export_types = ("csv",)

    def __init__(self, model: Model, app: Flask, category: str) -> None:
        keys = _attribute_names(model)
        self._personal = {keys[name] for name in PERSONAL if name in keys}
        harmless = [name for name in keys if name not in PERSONAL]
        self.column_list = [keys[name] for name in _LISTED if name in keys]
        self.column_details_list = self.column_export_list = list(keys.values())
        self.column_labels = {key: BY_NAME[name].label for name, key in keys.items()}
        # What may be searched, filtered and sorted by can be found out that way.
        self.column_searchable_list = [keys[name] for name in _SEARCHED if name in keys]
        self.column_filters = [keys[name] for name in harmless]
        self.column_sortable_list = [keys[name] for name in harmless]
        self.column_default_sort = [(keys["date"], True)]
        self.column_formatters = {keys[n]: shown for n, shown in _FORMATTERS.items() if n in keys}
        self.column_formatters_export = dict.fromkeys(keys.values(), self._exported)
        super().__init__(
            model.orm,
            app.extensions["sqlalchemy"],
            name="Requests",
            category=category,
            endpoint="admin_statistics_requests",
            url="statistics-requests",
        )

    @property
    def session(self) -> Any:
        """A session of ours while a page is answered: it reads, and ends with the time limit."""
        return _session.get() or self._host_session

    @session.setter
    def session(self, session: Any) -> None:
        self._host_session = session

    def _run_view(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        @wraps(fn)
        def read(*args: Any, **kwargs: Any) -> Any:
            with reading(get_state().engine) as connection, Session(connection) as session:
                token = _session.set(session)
                try:
                    return fn(*args, **kwargs)
                finally:
                    _session.reset(token)

        return super()._run_view(read, *args, **kwargs)

    @property
    def can_export(self) -> bool:
        return allowed("export")

    def scaffold_form(self) -> type[Form]:
        # Nothing is edited; a form of the host's columns might not even be possible.
        form: type[Form] = Form
        return form

    def render(self, template: str, **kwargs: Any) -> str:
        if not allowed("personal"):
            for name in ("list_columns", "details_columns"):
                if name in kwargs:
                    kwargs[name] = [c for c in kwargs[name] if c[0] not in self._personal]
        html: str = super().render(template, **kwargs)
        return html

    def _exported(self, view: Any, context: Any, model: Any, name: str) -> Any:
        if name in self._personal and not allowed("personal"):
            return ""
        value = getattr(model, name)
        if isinstance(value, str):
            return safe(value)
        return "" if value is None else value

    def get_list(
        self, page: int | None, sort_column: Any, sort_desc: Any, search: str | None, *args: Any,
        **kwargs: Any,
    ) -> Any:  # fmt: skip
        page = min(max(page or 0, 0), _LAST_PAGE)
        if search:
            search = search.replace("\x00", "")[:_LONGEST_SEARCH]
        return super().get_list(page, sort_column, sort_desc, search, *args, **kwargs)

    def get_one(self, id: str) -> Any:
        is_number = id.isascii() and id.isdigit() and len(id) < 19
        return super().get_one(id) if is_number else None

    @expose("/export/<export_type>/")  # type: ignore[untyped-decorator]
    def export(self, export_type: str) -> Any:
        require("export")
        return super().export(export_type)


def _attribute_names(model: Model) -> dict[str, str]:
    """Return the attribute of the host's model for each recorded column that it has."""
    mapper = sa.inspect(model.orm)
    return {name: mapper.get_property_by_column(c).key for name, c in model.columns.items()}
