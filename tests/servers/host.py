"""The app that the servers serve; the file of its database comes from the environment."""

from __future__ import annotations

import os

from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from flask_statistics import RequestMixin, Statistics

app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite:///" + os.environ["HOST_DATABASE"]
db = SQLAlchemy(app)


class Request(RequestMixin, db.Model):  # type: ignore[name-defined, misc, unused-ignore]
    pass


Statistics(app, db, Request)


@app.route("/<int:number>")
def hello(number: int) -> str:
    return f"hello {number}"


def create_tables() -> None:
    with app.app_context():
        db.create_all()
