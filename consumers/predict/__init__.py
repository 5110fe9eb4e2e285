"""Judges announced windows."""
