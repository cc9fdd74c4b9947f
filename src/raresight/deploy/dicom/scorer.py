"""From quiet studies to results in the outbox."""

from __future__ import annotations

import logging
import shutil
import time
from pathlib import Path
from threading import Event

from raresight.deploy.dicom.findings import find_in_study, study_decision
from raresight.deploy.dicom.maker import maker_of
from raresight.deploy.dicom.results import write_results
from raresight.deploy.dicom.settings import NodeSettings
from raresight.deploy.dicom.source import read_head
from raresight.deploy.dicom.spool import Spool
from raresight.deploy.predictor import Predictor

logger = logging.getLogger(__name__)

MOST_TRIES = 5
"""How often a batch is begun and not ended, by crashes or kills, before it is put aside."""


class Scorer:
    """Scores one study after the other.

    Parameters
    ----------
    predictor : Predictor
    settings : NodeSettings
    spool : Spool
    stopping : Event
        When it is set, the study in hand is left for the next start.
    """

    def __init__(self, predictor: Predictor, settings: NodeSettings, spool: Spool, stopping: Event) -> None:
        self.predictor, self.settings, self.spool, self.stopping = predictor, settings, spool, stopping
        self.maker = maker_of(predictor)

    def work(self) -> bool:
        """Score what is ready; gives whether there was anything."""
        self.spool.freeze(self.settings.quiet)
        batches = self.spool.batches()
        for batch in batches:
            if self.stopping.is_set():
                break
            try:
                self._answer(batch)
            except InterruptedError:
                break
            except Exception as error:
                # Its message may quote the file, and so the patient; what kind it is must do.
                reason = f"no results could be made of it ({type(error).__name__})"
                logger.error("study %s: %s; it is in the folder failed", batch.name, reason)
                self.spool.fail(batch, reason)
        return bool(batches)

    def _answer(self, batch: Path) -> None:
        start = time.perf_counter()
        if self.spool.begin(batch) >= MOST_TRIES:
            raise RuntimeError  # it may be what ended this process each time
        heads = [(file, read_head(file)) for file in sorted(batch.glob("*.dcm"))]
        findings = find_in_study(self.predictor, heads, self.settings, self.stopping.is_set)
        results = self.spool.incoming / f"{batch.name}.results"
        shutil.rmtree(results, ignore_errors=True)
        results.mkdir(mode=0o700)
        count = write_results(findings, self.maker, results)
        unread = sum(finding.prediction.error is not None for finding in findings)
        seconds = time.perf_counter() - start
        self.spool.answer(batch, results, {"images": len(findings), "results": count, "at": time.time()})
        logger.info(
            "study %s: %d images (%d not readable), %s, %d results in %.1f s",
            *(batch.name, len(findings), unread, study_decision(findings), count, seconds),
        )
