import pytest

from pipeline.tracking.mlflow_terms import metric_name
from pipeline.tracking.record import Kind


@pytest.mark.parametrize(
    ("kind", "name", "shown"),
    [
        ("training", "loss", "train/loss"),
        ("training", "learning_rate", "train/learning_rate"),
        ("training", "images_per_second", "train/images_per_second"),
        ("training", "val_accuracy", "val/accuracy"),
        ("training", "val_macro_f1", "val/macro_f1"),
        ("training", "best_val_accuracy", "best/val_accuracy"),
        ("training", "best_epoch", "best/epoch"),
        ("training", "macs", "cost/macs"),
        ("training", "energy_wh", "cost/energy_wh"),
        ("trial", "rung_val_accuracy", "rung/val_accuracy"),
        ("trial", "latency_ms", "cost/latency_ms"),
        ("study", "best_val_accuracy", "best/val_accuracy"),
        ("study", "best_so_far", "study/best_so_far"),
        ("study", "pruned", "study/pruned"),
        ("evaluation", "accuracy", "test/accuracy"),
        ("evaluation", "accuracy_low", "test/accuracy_low"),
        ("evaluation", "balanced_accuracy_high", "test/balanced_accuracy_high"),
        ("evaluation", "accuracy_shift", "robustness/shift"),
        ("evaluation", "robustness", "robustness/overall"),
        ("evaluation", "log_loss_high", "calibration/log_loss_high"),
        ("evaluation", "auroc_noise", "ood/auroc_noise"),
        ("evaluation", "baseline_p_value", "comparison/baseline_p_value"),
        ("evaluation", "latency_p95_ms", "cost/latency_p95_ms"),
        ("evaluation", "images_per_second_p5", "cost/images_per_second_p5"),
        ("evaluation", "energy_wh", "cost/evaluation_energy_wh"),
        ("evaluation", "test_accuracy_shift", "robustness/shift"),  # in a record of an older version
        ("training", "system/cpu_utilization_percentage", "system/cpu_utilization_percentage"),
    ],
)
def test_a_metric_is_shown_in_the_group_it_belongs_to(kind: Kind, name: str, shown: str) -> None:
    assert metric_name(kind, name) == shown


@pytest.mark.parametrize(
    ("kind", "former", "shown"),
    [
        ("evaluation", "arrangement_worth", "interpretation/pixel_permutation_drop"),
        ("evaluation", "test_false_alarms", "ood/false_positive_rate"),
        ("evaluation", "false_alarms", "ood/false_positive_rate"),
        ("evaluation", "split_networks", "test/networks_compared"),
        ("evaluation", "split_decisions", "test/promotion_decisions"),
        ("study", "equals", "study/tied_trials"),
    ],
)
def test_a_metric_of_an_older_record_is_shown_under_its_new_name(kind: Kind, former: str, shown: str) -> None:
    assert metric_name(kind, former) == shown
