"""The page across image sets: balances ranked, the critical-difference diagram, each set's verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup
from matplotlib.figure import Figure

from raresight.evidence.format import decimal, span
from raresight.evidence.metrics import METRICS
from raresight.evidence.names import balance_title, data_title
from raresight.evidence.ranking import TRUSTED_SETS, BalanceRanking, cliques, rank_balances
from raresight.evidence.verdicts import HEADLINE
from raresight.report.figures import render
from raresight.report.page import page, page_target, write_whole
from raresight.report.source import Reported
from raresight.report.theme import PAGE, PAPER, Palette, for_file, for_page

CAPTION = (
    "Mean ranks over image sets, best on the right; a bar joins balances that Nemenyi's test does not tell "
    "apart, and is never longer than the critical difference (CD)."
)
CLEAR = 0.05


def write_ranking(
    runs: Iterable[Reported],
    path: str | Path = "ranking.html",
    format: str | None = None,
    metric: str = HEADLINE,
) -> Path:
    """Write one page about runs on several image sets.

    Parameters
    ----------
    runs : iterable of Run
        On two image sets or more; see `rank_balances`.
    path : path
        The file to write, or a folder for ``ranking.html|md``. The diagram goes beside it, as
        ``figures/ranking.svg|png``.
    format : {"html", "md"}, optional
        By default what the path's ending says, else a page.
    metric : str
        What balances are ranked by, and the verdicts shown.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    DataError, OptionError
        As `rank_balances`; if there is no such format.
    RunError
        If the file cannot be written.
    """
    form, target = page_target(path, Path(path), "ranking", format, "a page across sets")
    runs = list(runs)
    ranking = rank_balances(runs, metric)
    svg = write_ranking_figure(ranking, target.parent / "figures")
    # Markup: the SVG is ours, and matplotlib escapes the names that it writes into it.
    picture = Markup(for_page(svg, "ranking", CAPTION))
    content = {**ranking_context(ranking), "picture": picture, "verdicts": _verdicts(runs, metric)}
    write_whole(target, page(form, f"ranking.{form}.j2", content))
    return target


def write_ranking_figure(ranking: BalanceRanking, folder: Path, name: str = "ranking") -> str:
    """Write the diagram as SVG and PNG; give the SVG in placeholder colours, for a page.

    Raises
    ------
    RunError
        If a file cannot be written.
    """
    svg: str = render(lambda palette: ranking_figure(ranking, palette), PAGE, name, "svg").decode()
    png = render(lambda palette: ranking_figure(ranking, palette), PAPER, name, "png")
    write_whole(folder / f"{name}.svg", for_file(svg))
    write_whole(folder / f"{name}.png", png)
    return svg


def ranking_figure(ranking: BalanceRanking, palette: Palette) -> Figure:
    """Draw Demšar's critical-difference diagram.

    Parameters
    ----------
    ranking : BalanceRanking
    palette : Palette

    Notes
    -----
    Source: Demšar, JMLR 7 (2006), 1–30, figure 1.
    """
    ranks, count = list(ranking.ranks), len(ranking.balances)
    bars = cliques(ranks, ranking.critical_difference)
    right = (count + 1) // 2
    bars_end = 0.45 + 0.3 * len(bars)
    depth = bars_end + 0.45 * right + 0.2
    figure = Figure((7.4, 0.9 + 0.42 * depth), layout="constrained")
    panel = figure.subplots()
    panel.set_xlim(count + 1.4, -0.4)
    panel.set_ylim(depth, -1.5)
    panel.axis("off")
    ink: dict[str, Any] = {"color": palette.ink, "linewidth": 1.0}
    panel.plot([1, count], [0, 0], **ink)
    for tick in range(1, count + 1):
        panel.plot([tick, tick], [0, -0.15], **ink)
        panel.text(tick, -0.25, str(tick), ha="center", va="bottom", color=palette.muted)
    reach = min(ranking.critical_difference, count - 1)
    panel.plot([count, count - reach], [-1.05, -1.05], color=palette.muted, linewidth=1.6)
    says = f"CD {decimal(ranking.critical_difference, 2)}"
    if reach < ranking.critical_difference:
        says += ", wider than the axis"
    panel.text(count - reach / 2, -1.13, says, ha="center", va="bottom", color=palette.muted)
    for number, (first, last) in enumerate(bars):
        height = 0.45 + 0.3 * number
        panel.plot(
            [ranks[first] - 0.06, ranks[last] + 0.06],
            [height, height],
            color=palette.series[0],
            linewidth=4,
            solid_capstyle="butt",
        )
    for place, (balance, rank) in enumerate(zip(ranking.balances, ranks, strict=True)):
        best = place < right
        height = bars_end + 0.45 * (place if best else count - 1 - place)
        edge = 0.8 if best else count + 0.2
        panel.plot([rank, rank, edge], [0, height, height], color=palette.muted, linewidth=0.9)
        panel.text(
            edge - 0.08 if best else edge + 0.08,
            height,
            f"{balance_title(balance)}  {decimal(rank, 2)}",
            ha="left" if best else "right",
            va="center",
            color=palette.ink,
        )
    return figure


def ranking_sentences(ranking: BalanceRanking) -> list[str]:
    """Say what a ranking shows, what a row of it is, and how far it can be trusted."""
    title, sets = METRICS[ranking.metric].title, len(ranking.sets)
    best = balance_title(ranking.balances[0])
    p = "< .001" if ranking.p < 0.001 else f"= {decimal(ranking.p)}"
    spread = float(ranking.ranks[-1] - ranking.ranks[0])
    told = (
        "the best and the worst mean rank are further apart than that"
        if spread > ranking.critical_difference
        else "no two mean ranks are that far apart"
    )
    found = [
        f"By {title}, {best} has the best mean rank of {len(ranking.balances)} balances over {sets} image "
        f"sets, {decimal(float(ranking.ranks[0]), 2)}. Friedman's test (Iman and Davenport's form): p {p}"
        f"{'' if ranking.p < CLEAR else ', so no difference is shown'}. Nemenyi's critical difference is "
        f"{decimal(ranking.critical_difference, 2)}; {told}.",
        "One row of the test is one image set: the mean over its models and imbalances. These share their "
        "images, and would be no independent rows.",
    ]
    if sets < TRUSTED_SETS:
        found.append(
            f"With {sets} sets the test has little power and its p is rough; about {TRUSTED_SETS} are "
            "needed. That balances are not told apart does not show that they are equal: the verdicts on "
            "each set say that."
        )
    if ranking.left_out:
        found.append(f"Left out: {'; '.join(ranking.left_out)}.")
    return found


def ranking_context(ranking: BalanceRanking) -> dict[str, Any]:
    """Give what a template shows of a ranking."""
    return {
        "caption": CAPTION,
        "metric": METRICS[ranking.metric].title,
        "sentences": ranking_sentences(ranking),
        "sets": list(zip(ranking.sets, ranking.conditions, strict=True)),
        "ranked": [
            {
                "balance": balance_title(balance),
                "rank": float(rank),
                "values": [float(value) for value in column],
            }
            for balance, rank, column in zip(ranking.balances, ranking.ranks, ranking.values.T, strict=True)
        ],
    }


def _verdicts(runs: Sequence[Reported], metric: str) -> list[dict[str, str]]:
    """List every run's verdicts on a metric against no resampling."""
    return [
        {
            "set": data_title(run.settings["data"]["name"]),
            "imbalance": _ratio(run.settings["protocol"]["imbalance"]),
            "recipe": verdict["recipe"],
            "decision": verdict["decision"],
            "value": decimal(verdict["difference"], sign=True),
            "span": span(verdict, sign=True),
        }
        for run in runs
        for verdict in run.verdicts
        if verdict["metric"] == metric and verdict["against"] == "none"
    ]


def _ratio(imbalance: float | None) -> str:
    return "as it is" if imbalance is None else f"{imbalance:g} : 1"
