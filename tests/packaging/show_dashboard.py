"""Run in each kind of install: an app, its dashboard, and every asset that the page names.

Prints where the package was found, and then the statuses.
"""

from __future__ import annotations

import re

from flask import Flask
from flask_sqlalchemy import SQLAlchemy

import flask_statistics
from flask_statistics import RequestMixin, Statistics

app = Flask("host")
app.config.update(SQLALCHEMY_DATABASE_URI="sqlite://", TESTING=True)
db = SQLAlchemy(app)


class Request(RequestMixin, db.Model):  # type: ignore[name-defined, misc, unused-ignore]
    pass


Statistics(app, db, Request)
with app.app_context():
    db.create_all()
client = app.test_client()
page = client.get("/statistics/")
assets = sorted(set(re.findall(r'(?:href|src)="(/statistics/[^"]+\.(?:css|js))', page.text)))
assert assets, page.text
print(flask_statistics.__file__)
print(page.status_code, *(client.get(path).status_code for path in assets))
