"""From access logs to rows."""
