"""The tasks of the package, without those on trial, which other tests import."""

from ssatom.tasks import TASKS

OURS = {name: task for name, task in TASKS.items() if task.__module__.startswith("ssatom.")}
