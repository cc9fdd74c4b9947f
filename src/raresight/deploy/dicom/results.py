"""All results of a study, as files."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from raresight.deploy.dicom.findings import Finding
from raresight.deploy.dicom.heatmap import make_heatmap
from raresight.deploy.dicom.maker import Batch, Maker
from raresight.deploy.dicom.presentation import make_presentation, presentable
from raresight.deploy.dicom.source import lean
from raresight.deploy.dicom.structured_report import make_report

logger = logging.getLogger(__name__)


def write_results(findings: Sequence[Finding], maker: Maker, folder: Path) -> int:
    """Make report, heatmaps and presentation states.

    Parameters
    ----------
    findings : sequence of Finding
        Of one study.
    maker : Maker
    folder : Path
        Empty; gets a DICOM file for each result, the report last, so that what it can be read with is there.

    Returns
    -------
    int
        How many.
    """
    batch = Batch.of(maker, sorted({str(finding.head.SOPInstanceUID) for finding in findings}))
    pictured = [finding for finding in findings if finding.picture is not None]
    makers: list[tuple[str, Callable[[], Any]]] = []
    for number, finding in enumerate(pictured, 1):
        makers.append((f"1-heatmap-{number:03d}", partial(make_heatmap, finding, number, maker, batch)))
    for number, group in enumerate(presentable(findings), 1):
        makers.append((f"2-state-{number:03d}", partial(make_presentation, group, number, maker, batch)))
    written = 0
    for name, make in makers:
        try:
            make().save_as(folder / f"{name}.dcm", enforce_file_format=True)
            written += 1
        except Exception as error:  # an odd header must not cost the study its report
            (folder / f"{name}.dcm").unlink(missing_ok=True)
            logger.warning("a result is left out: %s (%s)", name, type(error).__name__)
    report = folder / "3-report.dcm"
    try:
        make_report(findings, maker, batch).save_as(report, enforce_file_format=True)
    except Exception as error:
        logger.warning("a report is made from few attributes of its images (%s)", type(error).__name__)
        plain = [replace(finding, head=lean(finding.head)) for finding in findings]
        make_report(plain, maker, batch).save_as(report, enforce_file_format=True)
    return written + 1
