"""export: completed windows to a dataset on S3."""
