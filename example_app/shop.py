"""The shop: pages of every kind that a real one has, a slow and a failing one among them."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterator
from datetime import datetime, timezone

import sqlalchemy as sa
from flask import (
    Blueprint,
    Response,
    abort,
    current_app,
    flash,
    g,
    redirect,
    render_template,
    request,
    session,
    stream_with_context,
    url_for,
)
from flask.typing import ResponseReturnValue
from flask_login import current_user

from .extensions import db, statistics
from .models import Order, Product

blueprint = Blueprint("shop", __name__)


def find_product(slug: str) -> Product:
    return db.one_or_404(sa.select(Product).filter_by(slug=slug))


@blueprint.get("/")
def home() -> str:
    products = db.session.scalars(sa.select(Product).order_by(Product.id).limit(4))
    return render_template("shop/home.html", products=products)


@blueprint.get("/teas")
def teas() -> str:
    query = sa.select(Product).order_by(Product.name)
    if kind := request.args.get("kind"):
        query = query.filter_by(kind=kind)
    return render_template("shop/teas.html", products=db.session.scalars(query), title="Our teas")


@blueprint.get("/tea/<slug>")
def tea(slug: str) -> str:
    return render_template("shop/tea.html", product=find_product(slug))


@blueprint.get("/search")
def search() -> str:
    words = request.args.get("q", "").strip()[:100]
    query = sa.select(Product).where(Product.name.icontains(words, autoescape=True))
    products = db.session.scalars(query).all() if words else []
    g.track_var["results"] = len(products)
    return render_template("shop/teas.html", products=products, title=f"Search: {words}")


@blueprint.get("/cart")
def cart() -> str:
    amounts: dict[str, int] = session.get("cart", {})
    products = db.session.scalars(sa.select(Product).where(Product.slug.in_(amounts)))
    return render_template("shop/cart.html", rows=[(p, amounts[p.slug]) for p in products])


@blueprint.post("/cart")
def add_to_cart() -> ResponseReturnValue:
    product = find_product(request.form.get("tea", ""))
    amounts: dict[str, int] = session.setdefault("cart", {})
    amounts[product.slug] = amounts.get(product.slug, 0) + 1
    session.modified = True
    statistics.track("cart", tea=product.slug)
    return redirect(url_for(".cart"))


@blueprint.post("/checkout")
def checkout() -> ResponseReturnValue:
    amounts: dict[str, int] = session.pop("cart", {})
    products = db.session.scalars(sa.select(Product).where(Product.slug.in_(amounts))).all()
    if not products:
        abort(400)
    order = Order(
        created=datetime.now(timezone.utc).replace(tzinfo=None),
        user=current_user if current_user.is_authenticated else None,
        items=sum(amounts[product.slug] for product in products),
        total=sum(amounts[product.slug] * product.price for product in products),
    )
    db.session.add(order)
    db.session.commit()
    statistics.track("purchase", items=order.items, revenue=order.total / 100, currency="EUR")
    flash("Thank you. Nothing will be sent: this shop is made up.")
    return redirect(url_for(".home"))


@blueprint.get("/shop")
def old_address() -> ResponseReturnValue:
    return redirect(url_for(".teas"), 301)


@blueprint.get("/tasting")
def tasting() -> str:
    """The slow page: a tea that needs its time."""
    time.sleep(current_app.config["SLOW_SECONDS"])
    return render_template("shop/page.html", title="Tasting", text="Worth the wait.")


@blueprint.get("/stock")
def stock() -> str:
    """The failing page: nobody counted the shelves."""
    shelves: list[int] = []
    return str(sum(shelves) / len(shelves))


@blueprint.get("/prices.csv")
def prices() -> Response:
    """The streamed download: one row at a time."""
    rows = stream_with_context(_price_rows())
    headers = {"Content-Disposition": "attachment; filename=prices.csv"}
    return Response(rows, mimetype="text/csv", headers=headers)


def _price_rows() -> Iterator[str]:
    yield "slug,name,kind,price\n"
    for product in db.session.scalars(sa.select(Product).order_by(Product.slug)):
        line = io.StringIO()
        csv.writer(line).writerow(
            [product.slug, product.name, product.kind, f"{product.price / 100:.2f}"]
        )
        yield line.getvalue()


@blueprint.get("/robots.txt")
def robots() -> Response:
    return Response("User-agent: *\nDisallow: /cart\n", mimetype="text/plain")


@blueprint.get("/health")
def health() -> str:
    """For monitors; STATISTICS_EXCLUDE_PATHS keeps it out of the statistics."""
    return "ok"
