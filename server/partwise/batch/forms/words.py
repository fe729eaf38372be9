"""What a report says to a person, in every form that has a place for it."""

from __future__ import annotations

from partwise.batch.outcome import Summary


def sentence(summary: Summary) -> str:
    """``2 items: 1 stored, 1 failed``."""
    items = "1 item" if summary.items == 1 else f"{summary.items} items"
    if summary.dry_run:
        told = f"{summary.stored} would be stored, {summary.failed} would fail; nothing was stored (dry run)"
    elif summary.atomic and summary.failed:
        told = "none stored, because all or nothing was to be stored and not every item is good"
    else:
        told = f"{summary.stored} stored, {summary.failed} failed"
    broken = "; the upload broke off" if summary.state == "aborted" else ""
    return f"{items}: {told}{broken}"
