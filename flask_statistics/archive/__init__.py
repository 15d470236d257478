"""The columnar archive: requests as Parquet segments in a folder, beside the host's table."""
