"""The stage register: which network is champion."""

from typing import TYPE_CHECKING

import pytest

from pipeline.errors import UserError
from pipeline.sections.gate_rules import PromoteIf
from tests.pipeline.registration import Workspace

if TYPE_CHECKING:
    pass


pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of mlflow's own imports


@pytest.mark.slow
def test_a_better_network_replaces_the_champion(workspace: Workspace) -> None:
    workspace.network(bias=2.0)
    workspace.register()
    assert workspace.run_tag("training") == "champion"
    workspace.network(bias=0.1)
    workspace.training = "another-training"
    report = workspace.register()
    assert workspace.aliases() == {"champion": 2}
    assert workspace.run_tag("training") == "former champion"
    assert workspace.run_tag("another-training") == "champion"
    assert report["alias"] == "champion"
    assert report["champion_comparison"]["version"] == 1
    assert report["champion_comparison"]["accuracy"] == 0.9
    assert report["champion_comparison"]["comparison"]["difference"] == pytest.approx(0.1)
    assert report["champion_comparison"]["comparison"]["p_value"] < 0.001
    assert [each["rule"] for each in report["verdicts"] if each["holds"]] == [
        "accuracy >= 0.5", "difference > 0", "p_value < 0.05", "difference_low > -0.01"
    ]  # fmt: skip
    assert "interval +0.0" in report["reason"]


@pytest.mark.slow
@pytest.mark.parametrize(("promote_if", "alias"), [("better", "challenger"), ("higher", "champion")])
def test_a_lead_of_one_image_leads_to_promotion_only_with_promote_if_higher(
    workspace: Workspace, promote_if: PromoteIf, alias: str
) -> None:
    workspace.copies, workspace.promote_if = 1, promote_if
    workspace.network(bias=2.0)
    workspace.register()
    workspace.network(bias=0.1)
    report = workspace.register()
    assert report["champion_comparison"]["comparison"]["difference"] == pytest.approx(0.1)
    assert report["alias"] == alias
    assert workspace.aliases()[alias] == 2
    assert "p = 1" in workspace.description(2)
    assert ("required: p_value < 0.05 (value 1)" in report["reason"]) is (promote_if == "better")


@pytest.mark.slow
def test_changing_promote_if_leads_to_a_new_decision(workspace: Workspace) -> None:
    workspace.register()
    workspace.network(bias=0.1)
    workspace.register()
    workspace.promote_if = "not_worse"
    assert workspace.register()["alias"] == "champion"
    assert workspace.aliases() == {"champion": 2}


@pytest.mark.slow
def test_a_network_at_chance_level_is_not_promoted_even_with_an_empty_gate(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace.gate = ()
    workspace.network(bias=9.0)
    assert workspace.metrics["accuracy"] == 0.5
    report = workspace.register()
    assert workspace.aliases() == {"challenger": 1}
    (rule,) = report["verdicts"]
    assert rule["rule"] == "accuracy_low > chance"
    assert rule["limit"] == 0.5
    assert "failed  accuracy_low > chance (value 0.43" in capsys.readouterr().out
    assert "| `accuracy_low > chance` | 0.43" in workspace.description(1)
    workspace.network(bias=0.0)
    workspace.register()
    assert workspace.aliases() == {"champion": 2, "challenger": 1}


@pytest.mark.slow
def test_an_equally_good_network_is_a_challenger(workspace: Workspace) -> None:
    workspace.register()
    workspace.network(bias=0.1)
    workspace.register()
    assert workspace.aliases() == {"champion": 1, "challenger": 2}


@pytest.mark.slow
def test_the_report_and_the_version_list_each_rule_with_its_values(workspace: Workspace) -> None:
    workspace.register()
    workspace.network(bias=2.0)
    workspace.gate = ("accuracy >= 0.5", "accuracy >= 0.95 * champion", "p_value < 1e-9", "latency_ms < 1000")
    report = workspace.register()
    rules = {each["rule"]: each for each in report["verdicts"]}
    assert [rules[rule]["holds"] for rule in workspace.gate] == [True, False, False, True]
    assert rules["accuracy >= 0.95 * champion"]["value"] == 0.9
    assert rules["accuracy >= 0.95 * champion"]["limit"] == 0.95
    assert 0 < rules["latency_ms < 1000"]["value"] < 1000
    assert workspace.decision(2)["verdicts"] == report["verdicts"]
    assert "| `accuracy >= 0.95 * champion` | 0.9 | 0.95 | **no** |" in workspace.description(2)


@pytest.mark.slow
def test_a_rule_on_robustness_evaluates_the_champion_on_the_same_corruptions(workspace: Workspace) -> None:
    workspace.register()
    workspace.network(bias=2.0)
    workspace.metrics["robustness"] = 0.5
    workspace.gate = ("robustness >= 0.99 * champion",)
    verdict = next(each for each in workspace.register()["verdicts"] if each["rule"] in workspace.gate)
    assert verdict["value"] == 0.5
    assert 0.0 < verdict["limit"] <= 0.99


@pytest.mark.slow
def test_a_network_that_violates_the_gate_is_a_challenger(workspace: Workspace) -> None:
    workspace.gate = ("accuracy >= 0.5", "log_loss < 0.1")
    report = workspace.register()
    assert [each["holds"] for each in report["verdicts"]] == [True, False]
    assert workspace.aliases() == {"challenger": 1}
    assert "log_loss < 0.1 (value 0.3)" in workspace.decision(1)["reason"]


def test_a_gate_on_a_metric_that_was_not_evaluated_is_refused(workspace: Workspace) -> None:
    workspace.gate = ("macro_f1 >= 0.5",)
    known = "available: accuracy, accuracy_high, accuracy_low, chance, log_loss"
    with pytest.raises(UserError, match=rf"register\.gate.*{known}"):
        workspace.register()


@pytest.mark.slow
def test_the_champion_is_evaluated_again_when_the_test_data_changed(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace.register()
    workspace.network(bias=2.0)
    workspace.version = 1
    workspace.register()
    assert workspace.decision(2)["champion_comparison"]["accuracy"] == 1.0
    assert "the test data changed: champion version 1 has accuracy 1 on it" in capsys.readouterr().out
    assert workspace.aliases() == {"champion": 1, "challenger": 2}


@pytest.mark.slow
def test_a_champion_remains_champion_when_the_test_data_changed(workspace: Workspace) -> None:
    workspace.register()
    workspace.version = 1
    workspace.register()
    assert workspace.aliases() == {"champion": 1}
    assert len(workspace.versions()) == 1


@pytest.mark.slow
def test_a_challenger_is_compared_again_on_other_test_data_without_a_new_version(workspace: Workspace) -> None:
    workspace.register()
    workspace.network(bias=2.0)
    workspace.register()
    workspace.version = 1
    report = workspace.register()
    assert report["version"] == 2
    assert len(workspace.versions()) == 2
    assert workspace.aliases() == {"champion": 1, "challenger": 2}


@pytest.mark.slow
def test_other_classes_start_a_new_lineage(workspace: Workspace) -> None:
    workspace.register()
    workspace.classes = ("upper", "lower", "both")
    workspace.network(bias=2.0)
    workspace.register()
    assert workspace.aliases() == {"champion": 2}
    assert "new lineage" in workspace.decision(2)["reason"]


@pytest.mark.slow
def test_a_renamed_class_creates_a_version_with_the_new_name(workspace: Workspace) -> None:
    from mlflow.models import get_model_info

    workspace.register()
    workspace.classes = ("top", "lower")
    workspace.network(bias=0.0)
    workspace.register()
    one, two = (version.tags["model_digest"] for version in workspace.versions())
    assert one == two
    assert workspace.aliases() == {"champion": 2}
    metadata = get_model_info("models:/tiny@champion").metadata
    assert metadata is not None
    assert metadata["classes"] == ["top", "lower"]


@pytest.mark.slow
def test_a_class_renamed_together_with_new_test_data_creates_a_version(workspace: Workspace) -> None:
    workspace.register()
    workspace.classes, workspace.version = ("top", "lower"), 1
    workspace.network(bias=0.0)
    workspace.register()
    assert workspace.aliases() == {"champion": 2}


@pytest.mark.slow
def test_a_relaxed_gate_makes_the_challenger_champion(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    workspace.network(bias=2.0)
    workspace.gate = ("accuracy >= 0.999",)
    workspace.register()
    assert workspace.aliases() == {"challenger": 1}
    assert "has no champion now" in capsys.readouterr().out
    workspace.gate = ("accuracy >= 0.9",)
    assert workspace.register()["gate"] == ["accuracy >= 0.9"]
    assert workspace.aliases() == {"champion": 1}
    assert len(workspace.versions()) == 1
    assert "registered as champion" in workspace.description(1)
    assert "decision updated: tiny version 1 is now champion" in capsys.readouterr().out


@pytest.mark.slow
def test_a_relaxed_gate_still_requires_the_comparison(workspace: Workspace) -> None:
    workspace.register()
    workspace.network(bias=2.0)
    workspace.gate = ("accuracy >= 0.999",)
    workspace.register()
    workspace.gate = ("accuracy >= 0.5",)
    workspace.register()
    assert workspace.aliases() == {"champion": 1, "challenger": 2}
    assert "accuracy 0.9, compared with 1 for the champion" in workspace.decision(2)["reason"]


@pytest.mark.slow
def test_a_tightened_gate_demotes_the_network_that_violates_it(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace.network(bias=2.0)
    workspace.register()
    workspace.gate = ("accuracy >= 0.999",)
    workspace.register()
    assert workspace.aliases() == {"challenger": 1}
    assert "it now violates accuracy >= 0.999 (value 0.9)" in capsys.readouterr().out
    workspace.register()
    assert len(workspace.versions()) == 1


@pytest.mark.slow
def test_a_tightened_gate_does_not_demote_another_network(workspace: Workspace) -> None:
    workspace.register()
    workspace.network(bias=2.0)
    workspace.gate = ("accuracy >= 0.999",)
    workspace.register()
    assert workspace.aliases() == {"champion": 1, "challenger": 2}


@pytest.mark.slow
def test_another_gate_with_the_same_outcome_keeps_the_champion(workspace: Workspace) -> None:
    workspace.register()
    workspace.gate = ("accuracy >= 0.6",)
    workspace.register()
    assert workspace.aliases() == {"champion": 1}
    assert workspace.decision(1)["gate"] == ["accuracy >= 0.6"]


@pytest.mark.slow
def test_a_rule_violated_by_a_changed_metric_is_applied(workspace: Workspace) -> None:
    """For example, accuracy_low changes with evaluate.confidence_level."""
    workspace.gate = ("log_loss < 0.4",)
    workspace.register()
    workspace.metrics["log_loss"] = 0.5
    workspace.register()
    assert workspace.aliases() == {"challenger": 1}


@pytest.mark.slow
def test_an_alias_moved_by_hand_is_kept(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    workspace.register()
    workspace.network(bias=0.1)
    workspace.register()
    workspace.move("champion", 2)
    before = workspace.versions()
    workspace.register()
    workspace.network(bias=0.0)
    workspace.register()
    assert workspace.aliases() == {"champion": 2, "challenger": 2}
    assert workspace.versions() == before
    assert "version 1; nothing to do; the champion is version 2" in capsys.readouterr().out
