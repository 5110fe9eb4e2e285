"""Runs each minute: registers shards, closes, publishes, rings again."""
