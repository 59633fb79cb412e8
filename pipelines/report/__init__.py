"""The report: what the tables say, as one HTML page for people.

In: the lake, and a few settings. Out: a page without script or outside parts, and a small object for programs. Not
here: any rule, any request; nothing is read but the lake.
"""

from pipelines.report.edition import Edition

__all__ = ["Edition"]
