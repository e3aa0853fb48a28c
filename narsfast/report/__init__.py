"""The report of a run as one HTML page."""

from ._collect import collect
from ._page import render_report, write_report

__all__ = ["collect", "render_report", "write_report"]
