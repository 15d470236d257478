"""Statistics for Flask apps, recorded in the app's own database and shown at ``/statistics``."""

from __future__ import annotations

from .errors import ConfigurationError, QueryError, StatisticsError
from .extension import Statistics
from .mixin import RequestMixin

__all__ = ["ConfigurationError", "QueryError", "RequestMixin", "Statistics", "StatisticsError"]
