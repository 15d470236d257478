"""What Flask-Statistics costs: ``python -m benchmarks [--short] [--markdown] [NAME…]``.

Each benchmark compares with a baseline that is measured in the same run on the same machine, so
that the ratios carry over. ``docs/performance.md`` keeps the figures of one machine.
"""
