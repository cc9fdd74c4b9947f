"""The methods section of a run, from its settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raresight.evidence.graded import GRADED_MARGINS
from raresight.evidence.metrics import ECE_BINS, METRICS
from raresight.evidence.multiclass import GRADED
from raresight.evidence.verdicts import FEWEST_GROUPS, FEWEST_REPEATS, MARGINS
from raresight.images.grouping import grouping_sentences, grouping_warnings


def methods(metrics: Mapping[str, Any], settings: Mapping[str, Any]) -> list[str]:
    """Write how a run was made and judged, a paragraph a matter.

    Parameters
    ----------
    metrics : mapping
        What `summarise` gives.
    settings : mapping
        ``run.json``.

    Returns
    -------
    list of str
    """
    protocol = settings["protocol"]
    judged = _verdicts() if metrics["effects"] else ""
    intervals = _intervals(metrics["intervals"])
    grouped = _groups(protocol["groups"], settings["data"])
    paragraphs = (_protocol(protocol), grouped, _probabilities(protocol), _JUDGING, intervals, judged)
    return [" ".join(text.split()) for text in paragraphs if text]


def graded_methods(metrics: Mapping[str, Any], settings: Mapping[str, Any]) -> list[str]:
    """Write the same of a multi-class run."""
    protocol, made = settings["protocol"], metrics["intervals"]
    judged = _graded_verdicts() if metrics["effects"] else ""
    grouped = _groups(protocol["groups"], settings["data"])
    order = " ".join(f"{note[0].upper()}{note[1:]}." for note in settings["data"].get("order", []))
    shares = _CLASS_SHARES if protocol["calibration"] != "none" else "Probabilities are the detectors' own."
    intervals = f"""
        Brackets and bars are 95 % intervals. Groups, not images, were drawn with replacement,
        {made["resamples"]:,} times ({made["groups"]["all"]:,} groups, apart by the rarest class that they
        hold), with all their rows, recipes and repeats. Intervals are symmetric on the logit scale with
        Student's t for the number of groups of the rarest class, and Wilson's where every image was right.
        The intervals speak about other patients of the same kind, not about training again on other images,
        and are not adjusted for the number of comparisons.
    """
    paragraphs = (_protocol(protocol), grouped, order, _CALLING, shares, intervals, judged)
    return [" ".join(text.split()) for text in paragraphs if text]


_CALLING = """
    The class called has the largest score. Accuracy, sensitivity, specificity and F1 of each class
    against the rest and their means over classes, MCC (Gorodkin 2004) and quadratic kappa (Cohen 1968) come
    from one confusion matrix a repeat, all folds together, averaged over repeats. AUROC is that of each
    class's share against the rest, within each fold, averaged over folds and then over classes.
"""

_CLASS_SHARES = """
    Probabilities are softmax(a × score + b) of the detectors' own log shares, with one a for all classes and
    one b a class (Alexandari et al. 2020; Guo et al. 2017), learned on inner out-of-fold scores of real
    training rows. They decide no metric here.
"""


def _graded_verdicts() -> str:
    margins = ", ".join(f"{GRADED[name].title} {value:g}" for name, value in GRADED_MARGINS.items())
    return f"""
        Verdicts compare a recipe with its baseline on the same rows and draws. The variance of a difference
        is that of the bootstrap over groups plus that between repeats divided by their number; Student's t
        has Satterthwaite's degrees of freedom. Equivalent: the 90 % interval lies inside the margin
        ({margins}). Helps or harms: otherwise, with Holm's p, by metric and over all pairs of the run, below
        .05. Nothing is decided with fewer than {FEWEST_GROUPS} groups in a class, nor for training that is
        random with fewer than {FEWEST_REPEATS} repeats.
    """


def ratio_text(imbalance: Any) -> str:
    """Write the ratio of normal to anomalous training rows: ``20 : 1``."""
    ratios = imbalance if isinstance(imbalance, list | tuple) else [imbalance]
    return ", ".join(f"{ratio:g} : 1" for ratio in ratios)


def _protocol(protocol: Mapping[str, Any]) -> str:
    times = f", repeated {protocol['repeats']} times" if protocol["repeats"] > 1 else ""
    again = f"{times} with other seeds" if times else ""
    how = f"""
        by {protocol["folds"]}-fold cross-validation{times}, stratified by class, with all images of a group
        in the same fold
    """
    if protocol.get("split") == "published":
        how = f"""
            on the split that the set was published with{again}, without
            the training images of which a group stands in the test part too
        """
    learned = f"""
        samplers, probabilities and learned thresholds were fitted on training rows only; the last two on
        {protocol["inner_folds"]} inner folds (networks: one inner split), which groups did not straddle
        either
    """
    if protocol["inner_folds"] == 0:
        learned = """
            and samplers were fitted on training rows only; thresholds and probabilities are the
            detectors' own, learned from nothing
        """
    text = f"""
        Every recipe was trained and tested {how.strip()} (groups: {protocol["groups"]};
        seed {protocol["seed"]}). Scaling, projections, {learned.strip()}. All recipes saw the same folds.
    """
    if protocol.get("tune"):
        text += f"Each recipe's settings were chosen in {protocol['tune']} trials inside the training rows. "
    if protocol.get("imbalance") is not None:
        text += f"""
            Anomalies were taken out of the training rows, whole groups at a time, until normal to
            anomalous was {ratio_text(protocol["imbalance"])}; test folds keep what the set has.
        """
    if protocol.get("anomalies") is not None:
        text += f"""
            Of the anomalies among the training rows, whole groups at a time, at most
            {protocol["anomalies"]} images were kept; test folds keep what the set has.
        """
    return text


def _groups(choice: str, data: Mapping[str, Any]) -> str:
    """Say how groups were made; a run that knows no duplicates is older than they are."""
    if choice == "off":
        return (
            "Each image was taken for a group of its own; patients and near duplicates were not kept apart."
        )
    if "duplicates" not in data:
        return ""
    by = "patient" if choice == "auto" else f"value of the column {choice}"
    whole = "one image with its near duplicates, and theirs in turn"
    if data["patients"] is not None:
        whole = f"all images of one {by} with their near duplicates, and all images of the {by} of those"
    return f"""
        A group is {whole}.
        Near duplicates are images whose local structure is the same once they are laid over each other,
        whatever was done to brightness, resolution, compression, border or orientation; they were sought in
        the images as they are, before any preset or neutraliser.
        {" ".join([*grouping_sentences(choice, data), *grouping_warnings(choice, data)])}
    """


_CALIBRATED = {
    "platt": "Platt's logistic curve with smoothed targets (1999)",
    "isotonic": "isotonic regression (Zadrozny and Elkan 2002)",
    "beta": "beta calibration (Kull et al. 2017)",
    "venn-abers": "inductive Venn–Abers prediction (Vovk and Petej 2014)",
}


def _probabilities(protocol: Mapping[str, Any]) -> str:
    if "calibration" not in protocol:
        return ""
    method = _CALIBRATED.get(protocol["calibration"])
    text = (
        f"""
        Probabilities come from {method}, learned on the inner out-of-fold scores of real training rows at
        the prevalence that these have, and corrected by the ratio of the odds to that of the training fold
        before any anomaly was taken out (Saerens et al. 2002; Elkan 2001).
    """
        if method
        else """
        Probabilities are the detectors' own, corrected by the ratio of the odds from the prevalence that
        the balanced training rows had to that of the training fold (Saerens et al. 2002; Elkan 2001); after
        synthesis this is an approximation.
    """
    )
    if protocol.get("prevalence") is not None:
        text += f"""
            PPV, NPV and net benefit (Vickers and Elkin 2006) are stated for a prevalence of
            {100 * protocol["prevalence"]:g} %, with each class as it is in this set.
        """
    return text


_JUDGING = f"""
    Sensitivity, specificity, accuracy, F1 and their kin come from one confusion matrix a repeat, all
    folds together, each fold cut at its own threshold (a score at or above it is called anomalous),
    averaged over repeats. AUROC, AUPRC and sensitivity at 95 % specificity are computed within each fold
    and averaged, because scores of differently trained models are not on one scale; where folds hold few
    normal images the last reads low. The curves are the folds' curves averaged vertically (Fawcett 2006).
    Brier score, calibration slope and expected calibration error ({ECE_BINS} bins of equal mass) judge
    probabilities calibrated on inner rows; the binned error is biased upwards in small sets.
"""


def _intervals(made: Mapping[str, Any]) -> str:
    groups = made["groups"]
    return f"""
        Brackets and bars are 95 % intervals. Groups, not images, were drawn with replacement,
        {made["resamples"]:,} times, separately among the {groups["anomalous"]:,} that hold an anomaly and
        the others ({groups["all"]:,} in all), with all their rows, recipes and repeats. Intervals are
        symmetric on the logit scale with Student's t for the number of groups, and Wilson's where every
        image was right or every one wrong. Differences are paired: both recipes on the same rows and
        draws. The intervals speak about other patients of the same kind, not about training again on
        other images, and are not adjusted for the number of comparisons; the best of several recipes
        looks better than it is.
    """


def _verdicts() -> str:
    margins = ", ".join(f"{METRICS[name].title} {value:g}" for name, value in MARGINS.items())
    return f"""
        Verdicts compare a recipe with its baseline on the same rows, within each repeat and fold, averaged.
        The variance of a difference is that of whole groups' influence (the jackknife, groups with and
        without an anomaly apart; for sensitivity at 95 % specificity the bootstrap) plus that between repeats
        divided by their number; Student's t has Satterthwaite's degrees of freedom, and for AUROC the lighter
        tails of a sum that few groups decide (Efron 1969). Equivalent: the 90 % interval lies inside the
        margin ({margins}), its ends moved out where contributions are skewed (Hall 1992). Helps or
        harms: otherwise, with Holm's p, over all pairs of the run, below .05. Nothing is decided with fewer
        than {FEWEST_GROUPS} groups in a class, nor for training that is random with fewer than
        {FEWEST_REPEATS} repeats.
    """
