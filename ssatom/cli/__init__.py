"""The command line. Thin, and quick to start: commands import what they need when they run."""

from ssatom.cli.main import app, main

__all__ = ["app", "main"]
