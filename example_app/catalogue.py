"""What the shop sells and writes about. All of it is made up."""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa

from .extensions import db
from .models import Product


class Tea(NamedTuple):
    slug: str
    name: str
    kind: str
    origin: str
    price: int
    taste: str


class Post(NamedTuple):
    slug: str
    title: str
    text: str


TEAS = (
    Tea("earl-grey", "Earl Grey", "black", "Sri Lanka", 790, "Bergamot over a plain black tea."),
    Tea("sencha", "Sencha", "green", "Japan", 980, "Grass and sea."),
    Tea("dong-ding", "Dong Ding", "oolong", "Taiwan", 1680, "Roasted nuts."),
    Tea("white-peony", "White Peony", "white", "China", 1340, "Melon and hay."),
    Tea("assam-second-flush", "Assam Second Flush", "black", "India", 890, "Malt and honey."),
    Tea("darjeeling-spring", "Darjeeling Spring", "black", "India", 1450, "Muscat, and brisk."),
    Tea("lapsang-souchong", "Lapsang Souchong", "black", "China", 1120, "Pine smoke."),
    Tea("keemun", "Keemun", "black", "China", 1010, "Cocoa, with a trace of orchid."),
    Tea("gyokuro", "Gyokuro", "green", "Japan", 2400, "Shaded for three weeks; sweet and deep."),
    Tea("genmaicha", "Genmaicha", "green", "Japan", 760, "Green tea with roasted rice."),
    Tea("longjing", "Longjing", "green", "China", 1850, "Chestnut, pan-fired."),
    Tea("gunpowder", "Gunpowder", "green", "China", 640, "Rolled to pellets; takes mint well."),
    Tea("matcha", "Matcha", "green", "Japan", 2900, "A powder to be whisked."),
    Tea("silver-needle", "Silver Needle", "white", "China", 2200, "Buds only."),
    Tea("tieguanyin", "Tieguanyin", "oolong", "China", 1560, "Lilac and butter."),
    Tea("oriental-beauty", "Oriental Beauty", "oolong", "Taiwan", 2600, "Honey, and an insect."),
    Tea("shou-puerh", "Shou Pu-erh", "dark", "China", 1290, "Earth and dates."),
    Tea("rooibos", "Rooibos", "herbal", "South Africa", 620, "No caffeine; vanilla and wood."),
    Tea("chamomile", "Chamomile", "herbal", "Egypt", 540, "Apples, and then sleep."),
    Tea("peppermint", "Peppermint", "herbal", "Germany", 520, "Cold and green."),
)

POSTS = (
    Post("water", "Water is most of your tea", "Soft water, freshly drawn, is half of it."),
    Post("how-hot", "How hot is hot enough", "Green teas want 70 degrees, black teas 100."),
    Post("gongfu", "A little pot, many times", "Seven infusions out of five grams of leaves."),
    Post("caffeine", "Which tea keeps you awake", "All of them, but matcha more than most."),
    Post("storing", "Where tea goes stale", "Light, air, heat, and next to coffee."),
    Post("first-flush", "What a flush is", "The first leaves of the year, and why they cost more."),
    Post("no-bags", "In defence of loose leaves", "What is in bags could not be sold else."),
)


def fill_shelves() -> None:
    """Put every tea that is missing into the database."""
    known = set(db.session.scalars(sa.select(Product.slug)))
    db.session.add_all(Product(**tea._asdict()) for tea in TEAS if tea.slug not in known)
    db.session.commit()
