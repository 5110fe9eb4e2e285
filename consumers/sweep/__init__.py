"""Runs each minute: keeps shards, clock, closing, outbox and backlog moving."""
