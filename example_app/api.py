"""The JSON API: a blueprint inside a blueprint."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from flask import Blueprint

from .extensions import db
from .models import Product

blueprint = Blueprint("api", __name__, url_prefix="/api")
v1 = Blueprint("v1", __name__, url_prefix="/v1")


def _as_json(product: Product) -> dict[str, Any]:
    return {
        "id": product.id,
        "slug": product.slug,
        "name": product.name,
        "kind": product.kind,
        "price": product.price / 100,
    }


@v1.get("/products")
def products() -> list[dict[str, Any]]:
    found = db.session.scalars(sa.select(Product).order_by(Product.id))
    return [_as_json(product) for product in found]


@v1.get("/products/<int:number>")
def product(number: int) -> dict[str, Any]:
    return _as_json(db.get_or_404(Product, number))


@v1.errorhandler(404)
def missing(_error: Exception) -> tuple[dict[str, str], int]:
    return {"error": "no such product"}, 404


blueprint.register_blueprint(v1)
