"""Loggers of the rooms: structlog in front of the standard library's, whoever set up logs and whether anybody did.

Here: how a room gets its logger. Not here: levels, formats and handlers (`pipelines.logs`). By itself structlog
prints on stdout, which belongs to the output of a command; through the standard library, warnings reach stderr.
"""

import logging

import structlog

__all__ = ["get_logger"]


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger whose lines go where `logging` sends those of this name."""
    logger: structlog.stdlib.BoundLogger = structlog.wrap_logger(logging.getLogger(name))
    return logger
