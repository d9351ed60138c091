"""The system: the machine, environments, models, doctor, settings, tokens, and the audit log."""

from web.system import access_records, installed, overview
from web.system.base import blueprint

__all__ = ["access_records", "blueprint", "installed", "overview"]
