"""Former names of params and metrics."""

# Former dotted keys of params.yaml, and the keys that replace them.
KEYS = {
    "search.hours": "search.timeout_hours",
    "search.timeout_minutes": "search.rung_timeout_minutes",
    "search.keep_states": "search.keep_checkpoints",
    "evaluate.confidence": "evaluate.confidence_level",
    "evaluate.robustness": "evaluate.corruptions",
    "evaluate.unfamiliar": "evaluate.out_of_distribution",
    "evaluate.unfamiliar.false_alarms": "evaluate.out_of_distribution.false_positive_rate",
    "evaluate.out_of_distribution.false_alarms": "evaluate.out_of_distribution.false_positive_rate",
    "evaluate.arrangement": "evaluate.pixel_permutation",
    "evaluate.look": "evaluate.interpretation",
    "register.replace": "register.promote_if",
}
# Former names of metrics, in gate rules and in the records of runs.
METRICS = {
    "arrangement_worth": "pixel_permutation_drop",
    "equals": "tied_trials",
    "false_alarms": "ood_false_positive_rate",
    "split_decisions": "promotion_decisions",
    "split_networks": "networks_compared",
}
