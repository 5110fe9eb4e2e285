"""Runs each minute: puts simulated events on the stream; takes EventBridge's events as well."""
