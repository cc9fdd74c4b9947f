"""raresight finds the rare finding in imbalanced medical image sets.

::

    import raresight as rs
    images = rs.load("scans/", normal=["no"])
    run = rs.compare(images, models=["cnn", "svm", "rf"], balance=["none", "smote"])
    rs.write_report(run, "report.html")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from raresight.audit.audit import Audit, audit_images
    from raresight.deploy.bundle import Bundle, make_bundle, train
    from raresight.deploy.feedback_evaluation import read_feedback
    from raresight.deploy.prediction import Prediction
    from raresight.deploy.predictor import Predictor
    from raresight.errors import (
        BundleError,
        DataError,
        ImageError,
        InputError,
        LeakageError,
        MissingExtraError,
        OptionError,
        RaresightError,
        RunError,
    )
    from raresight.evidence.judge import Judgement, judge
    from raresight.evidence.published_table import check_table
    from raresight.evidence.ranking import BalanceRanking, rank_balances
    from raresight.experiment.auto import AutoSearch, auto_compare
    from raresight.experiment.run import Run
    from raresight.experiment.runner import compare
    from raresight.experiment.sweep import Sweep, compare_imbalances
    from raresight.explain.base import Explanation, explain_images
    from raresight.explain.neighbours import nearest_training
    from raresight.explain.study import Study, explain_set
    from raresight.images.external import load_external
    from raresight.images.load import load
    from raresight.images.manifest import Manifest
    from raresight.report import write_ranking, write_report, write_stress, write_sweep
    from raresight.stress.folder import Stress
    from raresight.stress.runner import stress_recipes

_HOMES = {
    "Judgement": "raresight.evidence.judge",
    "Audit": "raresight.audit.audit",
    "audit_images": "raresight.audit.audit",
    "AutoSearch": "raresight.experiment.auto",
    "auto_compare": "raresight.experiment.auto",
    "BalanceRanking": "raresight.evidence.ranking",
    **dict.fromkeys(("Bundle", "make_bundle", "train"), "raresight.deploy.bundle"),
    "read_feedback": "raresight.deploy.feedback_evaluation",
    "Prediction": "raresight.deploy.prediction",
    "Predictor": "raresight.deploy.predictor",
    "Manifest": "raresight.images.manifest",
    "Run": "raresight.experiment.run",
    "Sweep": "raresight.experiment.sweep",
    "check_table": "raresight.evidence.published_table",
    "compare": "raresight.experiment.runner",
    "judge": "raresight.evidence.judge",
    "compare_imbalances": "raresight.experiment.sweep",
    "Explanation": "raresight.explain.base",
    "explain_images": "raresight.explain.base",
    "nearest_training": "raresight.explain.neighbours",
    "Study": "raresight.explain.study",
    "explain_set": "raresight.explain.study",
    "load": "raresight.images.load",
    "load_external": "raresight.images.external",
    "rank_balances": "raresight.evidence.ranking",
    "write_ranking": "raresight.report",
    "write_report": "raresight.report",
    "write_stress": "raresight.report",
    "Stress": "raresight.stress.folder",
    "stress_recipes": "raresight.stress.runner",
    "write_sweep": "raresight.report",
    **dict.fromkeys(
        (
            "BundleError",
            "DataError",
            "ImageError",
            "InputError",
            "LeakageError",
            "MissingExtraError",
            "OptionError",
            "RaresightError",
            "RunError",
        ),
        "raresight.errors",
    ),
}

__all__ = [
    "Audit",
    "AutoSearch",
    "BalanceRanking",
    "Bundle",
    "BundleError",
    "DataError",
    "Explanation",
    "ImageError",
    "InputError",
    "Judgement",
    "LeakageError",
    "Manifest",
    "MissingExtraError",
    "OptionError",
    "Prediction",
    "Predictor",
    "RaresightError",
    "Run",
    "RunError",
    "Stress",
    "Study",
    "Sweep",
    "audit_images",
    "auto_compare",
    "check_table",
    "compare",
    "compare_imbalances",
    "explain_images",
    "explain_set",
    "judge",
    "load",
    "load_external",
    "make_bundle",
    "nearest_training",
    "rank_balances",
    "read_feedback",
    "stress_recipes",
    "train",
    "write_ranking",
    "write_report",
    "write_stress",
    "write_sweep",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for, so that starting up costs nothing."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
