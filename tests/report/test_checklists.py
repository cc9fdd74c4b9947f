"""Checklists and the model card: complete in number, honest in what the run cannot know."""

from __future__ import annotations

import re

import pytest

from raresight.report import write_report
from raresight.report.card import model_card
from raresight.report.checklists import CHECKLISTS, fill, run_facts
from raresight.report.context import best_recipe, gather


def facts_of(run) -> dict[str, str]:
    best = best_recipe(run.metrics["recipes"])
    return run_facts(run.metrics, run.settings, run.receipts, run.rejected, best)


def test_claim_has_its_44_items_and_tripod_its_27(shared_run):
    claim, tripod = (fill(name, facts_of(shared_run)) for name in CHECKLISTS)
    assert [item.number for item in claim.items] == [str(i) for i in range(1, 45)]
    numbers = [item.number for item in tripod.items]
    assert list(dict.fromkeys(int(re.sub(r"\D", "", n)) for n in numbers)) == list(range(1, 28))
    assert len(numbers) == len(set(numbers)) == 52
    parts = {"3": "abc", "12": "abcdefg", "18": "abcdef", "20": "abc", "23": "ab", "27": "abc"}
    assert all(f"{number}{part}" in numbers for number, own in parts.items() for part in own)


@pytest.mark.parametrize("name", CHECKLISTS)
def test_every_fact_that_an_item_asks_for_is_one_that_a_run_can_say(name, shared_run):
    without = fill(name, {})
    assert all(item.status == "for a human" and not item.left for item in without.items)
    known = facts_of(shared_run)
    filled = fill(name, dict.fromkeys(known, "said"))
    again = fill(name, known)
    assert [item.status for item in filled.items] == [item.status for item in again.items]
    assert filled.count("filled in") >= 11 and filled.count("in part") >= 12


def test_every_fact_is_used_by_an_item(shared_run):
    used = {item.says for name in CHECKLISTS for item in fill(name, facts_of(shared_run)).items}
    assert {name for name, text in facts_of(shared_run).items() if text not in used} == set()


def test_what_only_people_know_is_left_to_them(shared_run):
    claim, tripod = ({i.number: i for i in fill(n, facts_of(shared_run)).items} for n in CHECKLISTS)
    assert all(claim[n].status == "for a human" for n in ("2", "5", "11", "13", "16", "36", "44"))
    assert all(tripod[n].status == "for a human" for n in ("5b", "6a", "8b", "14", "17", "18a", "19", "20b"))


def test_items_say_what_this_run_did(shared_run):
    items = {item.number: item for item in fill("claim_2024", facts_of(shared_run)).items}
    assert "3-fold cross-validation, stratified by class, seed 0" in items["19"].says
    assert "0 groups on both sides, 0 parents" in items["20"].says
    assert "120 images used" in items["8"].says and "1 could not be used" in items["8"].says
    assert "python 3.11.9, numpy 2.4" in items["23"].says and "20 : 1" in items["10"].says
    best = max(shared_run.metrics["recipes"], key=lambda row: row["metrics"]["auroc"]["mean"])
    assert best["recipe"] in items["37"].says
    assert f"AUROC {best['metrics']['auroc']['mean']:.3f}".replace("0.", ".") in items["37"].says


def test_leaks_and_switched_off_groups_are_not_called_apart(run):
    run.receipts[0]["shared_groups"] = 3
    assert (
        "3 groups on both sides" in facts_of(run)["level"]
        and "nor its group" not in facts_of(run)["internal"]
    )
    run.settings["protocol"]["groups"] = "off"
    assert "groups were switched off" in facts_of(run)["level"]
    context = gather(run)[0]
    assert any("Groups are off" in sentence for sentence in context["card"]["Limits"])


def test_without_probabilities_nothing_is_said_of_calibration(phantom_run):
    known = facts_of(phantom_run)
    assert "calibration" not in known and "calibrated" not in known and "calibrated" not in known["imbalance"]
    card = model_card(
        phantom_run.metrics, phantom_run.settings, "rf@embedding+none", {"rf@embedding+none": "RF"}
    )
    assert "Brier" not in " ".join(card["Performance"]) and "ranks best" not in " ".join(card["Model"])


def test_the_card_tells_use_data_performance_and_limits(shared_run):
    card = gather(shared_run)[0]["card"]
    assert list(card) == ["Model", "Intended use", "Data", "Performance", "Limits"]
    text = " ".join(sentence for sentences in card.values() for sentence in sentences)
    assert "Not a medical device" in text and "Not known from this run" in text and "33%" in text
    assert "jane_doe" not in text and "patient-" not in text


def test_both_stand_at_the_end_of_the_page_and_of_markdown(shared_run):
    html = write_report(shared_run).read_text()
    places = [html.index(f"<h2>{name}</h2>") for name in ("Methods", "Model card", "Reporting checklists")]
    assert places == sorted(places) and "<h2>" not in html[places[-1] + 4 :]
    end = html[places[-1] :]
    assert end.count("<details>") == 2 and end.count('<tr><th scope="row">') == 44 + 52
    markdown = write_report(shared_run, None, "md").read_text()
    assert markdown.index("## Methods") < markdown.index("## Model card") < markdown.index("### CLAIM 2024")
    assert markdown.count("| all of it |") == end.count('class="human"')
