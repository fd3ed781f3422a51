"""Out-of-distribution scores on generated features."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import UserError
from pipeline.evaluation.ood import (
    SCORES,
    OODDetector,
    Score,
    auroc,
    fit_ood_detector,
    noise_like,
    read_ood_detector,
    shuffled,
    write_ood_detector,
)
from pipeline.interpretation.network_outputs import NetworkOutputs

CENTRES = np.array([[30.0, 0.0, 0.0], [0.0, 30.0, 0.0]])


def familiar(n: int, seed: int) -> tuple[NetworkOutputs, np.ndarray]:
    """Two classes in different directions; the logits favour the nearer one."""
    numbers = np.random.default_rng(seed)
    labels = numbers.integers(0, 2, n)
    features = CENTRES[labels] + numbers.normal(size=(n, 3)) * [1.0, 2.0, 0.5]
    return NetworkOutputs(features, -((features[:, None] - CENTRES) ** 2).sum(axis=2) / 400), labels


def fitted_detector(kind: Score = "features", false_positive_rate: float = 0.1) -> OODDetector:
    train, labels = familiar(2000, 0)
    return fit_ood_detector("abc", train, labels, [familiar(1000, 1)[0]], kind, false_positive_rate)


def test_the_score_is_the_mahalanobis_distance_to_the_nearest_class() -> None:
    train, labels = familiar(2000, 0)
    unit = train.features / np.linalg.norm(train.features, axis=1, keepdims=True)
    centres = np.stack([unit[labels == label].mean(axis=0) for label in (0, 1)])
    within = np.cov((unit - centres[labels]).T, bias=True)
    at = np.array([[30.0, 0.0, 0.0], [0.0, 30.0, 2.0], [20.0, 20.0, 0.0], [-5.0, 0.0, 1.0]])
    away = at / np.linalg.norm(at, axis=1, keepdims=True) - centres[:, None]
    expected = np.einsum("cni,ij,cnj->cn", away, np.linalg.inv(within + 1e-9 * np.eye(3)), away).min(axis=0)
    assert fitted_detector().scores(NetworkOutputs(at, np.zeros((4, 2)))) == pytest.approx(expected, rel=0.1, abs=0.1)


def test_scores_do_not_depend_on_the_length_of_the_features() -> None:
    near = familiar(50, 3)[0]
    assert fitted_detector().scores(NetworkOutputs(3 * near.features, near.logits)) == pytest.approx(
        fitted_detector().scores(near)
    )
    assert np.isfinite(fitted_detector().scores(NetworkOutputs(np.zeros((1, 3)), np.zeros((1, 2))))).all()


@pytest.mark.parametrize("kind", SCORES)
def test_familiar_inputs_exceed_the_threshold_at_the_false_positive_rate(kind: Score) -> None:
    ood_detector = fitted_detector(kind, 0.1)
    assert ood_detector.is_unfamiliar(familiar(1000, 1)[0]).mean() == pytest.approx(0.1, abs=0.002)
    assert ood_detector.is_unfamiliar(familiar(4000, 2)[0]).mean() == pytest.approx(0.1, abs=0.03)


def test_distant_features_are_unfamiliar() -> None:
    ood_detector, near = fitted_detector(), familiar(500, 3)[0]
    far = NetworkOutputs(near.features + np.array([0.0, 0.0, 30.0]), near.logits)
    assert ood_detector.is_unfamiliar(far).all()
    assert auroc(ood_detector.scores(near), ood_detector.scores(far)) == 1.0
    assert auroc(ood_detector.scores(near), ood_detector.scores(near)) == 0.5


def test_energy_and_softmax_scores_equal_hand_computed_values() -> None:
    outputs = NetworkOutputs(np.zeros((1, 3)), np.log([[1.0, 3.0]]))
    assert fitted_detector().scores(outputs, "energy") == pytest.approx([-np.log(4.0)])
    assert fitted_detector().scores(outputs, "softmax") == pytest.approx([0.25])


def test_zero_features_of_few_images_have_finite_scores() -> None:
    train = NetworkOutputs(np.zeros((4, 6)), np.zeros((4, 2)))
    ood_detector = fit_ood_detector("abc", train, np.array([0, 1, 0, 1]), [train], "features", 0.05)
    assert np.isfinite(ood_detector.scores(train)).all()


@pytest.mark.parametrize("width", [10, 200])  # below and above the number of directions that are kept
@pytest.mark.parametrize("alive", [0, 1, 3, 9])
def test_dead_features_leave_scores_finite_and_stable(width: int, alive: int) -> None:
    numbers = np.random.default_rng(0)
    labels = numbers.integers(0, 2, 400)
    features = np.zeros((400, width), np.float32)
    features[:, :alive] = np.abs(numbers.normal(size=(400, alive)) + 3 * labels[:, None] * (np.arange(alive) % 2))
    train = NetworkOutputs(features, np.zeros((400, 2)))
    ood_detector = fit_ood_detector("abc", train, labels, [train], "features", 0.05)
    assert np.isfinite(ood_detector.directions).all()
    assert ood_detector.is_unfamiliar(train).mean() <= 0.05
    # Rounding differences, as between processors, barely change the scores.
    rounded = NetworkOutputs(features * (1 + np.float32(2e-7) * numbers.normal(size=features.shape)), train.logits)
    assert ood_detector.scores(rounded) == pytest.approx(ood_detector.scores(train), rel=1e-2, abs=1e-2)


def test_constant_features_have_finite_scores_near_zero() -> None:
    train = NetworkOutputs(np.full((50, 9), 1 / 7), np.zeros((50, 2)))  # 1/7 has no exact mean
    ood_detector = fit_ood_detector("abc", train, np.zeros(50, int), [train], "features", 0.05)
    assert np.isfinite(ood_detector.scores(train)).all()
    assert np.abs(ood_detector.scores(train)).max() < 1e-3


def test_activating_a_feature_that_was_dead_in_training_is_unfamiliar() -> None:
    near = familiar(2000, 0)
    train = NetworkOutputs(np.pad(near[0].features, ((0, 0), (0, 2))), near[0].logits)
    ood_detector = fit_ood_detector("abc", train, near[1], [train], "features", 0.05)
    fires = NetworkOutputs(train.features + np.array([0.0, 0.0, 0.0, 0.0, 10.0]), train.logits)
    assert ood_detector.is_unfamiliar(fires).all()


def test_a_detector_is_written_reproducibly_and_read_back(tmp_path: Path) -> None:
    ood_detector = fitted_detector("energy")
    for name in ("one.npz", "other.npz"):
        write_ood_detector(ood_detector, tmp_path / name)
    read = read_ood_detector(tmp_path / "one.npz")
    assert (read.kind, read.threshold, read.false_positive_rate) == ("energy", ood_detector.threshold, 0.1)
    assert np.array_equal(read.scores(familiar(50, 4)[0]), ood_detector.scores(familiar(50, 4)[0]))
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "other.npz").read_bytes()


def test_a_damaged_or_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file; run `dvc repro evaluate`"):
        read_ood_detector(tmp_path / "none.npz")
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04nonsense")
    with pytest.raises(UserError, match="must be a file written by the stage evaluate"):
        read_ood_detector(tmp_path / "bad.npz")


def test_generated_outliers_keep_shape_and_type() -> None:
    images = np.arange(5 * 4 * 3 * 2, dtype=np.uint8).reshape(5, 4, 3, 2)
    mixed = shuffled(images, 0)
    assert (mixed.shape, mixed.dtype) == (images.shape, np.uint8)
    assert not np.array_equal(mixed, images)
    for one, other in zip(mixed.reshape(5, -1, 2).tolist(), images.reshape(5, -1, 2).tolist(), strict=True):
        assert sorted(one) == sorted(other)  # pixels move with all their channels
    noise = noise_like(images, 0)
    assert (noise.shape, noise.dtype) == (images.shape, np.uint8)
    assert len(np.unique(noise)) > 50
