"""Former names of metrics, in gate rules and in the records of runs."""

METRICS = {
    "arrangement_worth": "pixel_permutation_drop",
    "equals": "tied_trials",
    "false_alarms": "ood_false_positive_rate",
    "split_decisions": "promotion_decisions",
    "split_networks": "networks_compared",
}
