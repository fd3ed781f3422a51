"""Visualize what the network has learned."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from pipeline.backend.predictor import make_predictor
from pipeline.cnn.geometry import Geometry
from pipeline.console import progress
from pipeline.evaluation.metrics import Predictions
from pipeline.evaluation.ood import NetworkOutputs, joined
from pipeline.evaluation.robustness import bounds_of
from pipeline.interpretation.deconvolution import deconvolution_network, project
from pipeline.interpretation.feature_separation import separate_features
from pipeline.interpretation.layer_outputs import convolutions, last_map, outputs, part, rectified_map
from pipeline.interpretation.receptive_fields import Patches
from pipeline.interpretation.saliency import grad_cam, occlusion_map
from pipeline.interpretation.top_activations import TopActivations, top_activations
from pipeline.params import EvaluateParams
from pipeline.plots.interpretation import (
    draw_deconvolutions,
    draw_feature_maps,
    draw_filters,
    draw_receptive_fields,
    draw_saliency,
    draw_separation,
    varying,
)
from pipeline.report.builder import ReportBuilder

# Maximum number of images for the class separation and for the strongest activations.
_MOST = 2_000
_OCCLUDED = 0.25  # side of the occluding box, as a share of the image's side


@dataclass(frozen=True)
class Seen:
    """The test images, and the outputs of the network for them.

    Attributes:
        images: (n, *grid, channels) raw values of the test split.
        answers: Predictions of the network for these images.
        look: Function from images to the outputs of the network's last layers, in parts.
        classes: Names of the classes.
    """

    images: NDArray[Any]
    answers: Predictions
    look: Callable[[NDArray[Any]], Iterable[NetworkOutputs]]
    classes: tuple[str, ...]


def add_interpretation_section(
    report: ReportBuilder, params: EvaluateParams, seed: int, model: Any, geometry: Geometry, seen: Seen
) -> None:
    """Add visualizations of filters, feature maps, activations and saliency to the report.

    Args:
        report: Report to extend.
        params: The section `evaluate` of params.yaml.
        seed: Seed of the selection of images.
        model: The network.
        geometry: Geometry of its architecture.
        seen: The test images, and the outputs of the network for them.
    """
    layers = convolutions(model)
    groups = [("Class separation in feature space", [_separation(report, seed, seen)])]
    if layers:
        maps = [_filters(report, model, layers[0]), *_feature_maps(report, params, model, layers, seen)]
        groups.append(("Filters and feature maps", maps))
        projected = _deconvolutions(report, params, model, layers, geometry, seed, seen)
        groups.append(("Strongest activations of each convolution", projected))
        groups.append(("Saliency maps", _saliency(report, params, model, last_map(model), seen)))
    are_images = seen.images.ndim == 4
    if are_images and (fields := _receptive_fields(report, geometry, seen)) is not None:
        groups.append(("Receptive fields", [fields]))
    report.sections.append(
        report.section("inside", "Interpretation", "interpretation", groups=groups, not_images=not are_images)
    )


def _some(seen: Seen, seed: int) -> NDArray[np.int64]:
    """Indices of a random sample of at most _MOST images."""
    return np.sort(np.random.default_rng(seed).permutation(len(seen.images))[:_MOST])


def _separation(report: ReportBuilder, seed: int, seen: Seen) -> Markup:
    some = _some(seen, seed)
    labels = seen.answers.labels[some]
    found = separate_features(joined(seen.look(np.asarray(seen.images[some]))).features, labels, len(seen.classes))
    if np.isfinite(found.silhouettes).any():
        report.metrics["silhouette"] = float(np.nanmean(found.silhouettes))
    figure = draw_separation(found, labels, seen.classes)
    caption = (
        f"Left: features of {len(some):,} test images (input of the last layer), projected onto two principal "
        "components. Right: mean silhouette of each class in the feature space. 1 means far from all other classes, "
        "0 on the border of another class, and below 0 nearer to another class than to its own."
    )
    return report.plot("separation", figure, caption)


def _filters(report: ReportBuilder, model: Any, layer: str) -> Markup:
    kernel = np.asarray(model.get_layer(layer).get_weights()[0])
    caption = "Kernels of the first convolution, each scaled to its own range of values."
    return report.images("filters", draw_filters(kernel, layer), caption)


def _feature_maps(
    report: ReportBuilder, params: EvaluateParams, model: Any, layers: tuple[str, ...], seen: Seen
) -> list[Markup]:
    """Draw the feature maps of one image for each of the first classes: the most confident correct prediction."""
    sure = [
        int(places[np.argmax(seen.answers.confidence[places])])
        for label in range(len(seen.classes))
        if len(places := np.flatnonzero((seen.answers.labels == label) & seen.answers.correct))
    ][: params.interpretation.images]
    shown = []
    inner = part(model, *layers)
    for place in sure:
        maps = next(outputs(inner, seen.images[place : place + 1], 1))
        title = f"{seen.classes[seen.answers.labels[place]]}, no. {place}"
        named = {name: each[0] for name, each in zip(layers, maps, strict=True)}
        drawn = {name: each for name, each in named.items() if varying(each).any()}
        constant = sum(int((~varying(each)).sum()) for each in named.values())
        figure = draw_feature_maps(
            np.asarray(seen.images[place]), drawn,
            bounds_of(seen.images), title,
        )  # fmt: skip
        caption = f"Feature maps of each convolution for test image {place}: the channels that vary most, by number."
        caption += f" Constant maps are left out: {constant}." if constant else ""
        shown.append(report.images(f"feature_maps_{place}", figure, caption))
    return shown


def _deconvolutions(
    report: ReportBuilder,
    params: EvaluateParams,
    model: Any,
    layers: tuple[str, ...],
    geometry: Geometry,
    seed: int,
    seen: Seen,
) -> list[Markup]:
    images = np.asarray(seen.images[_some(seen, seed)])
    rectified = [rectified_map(model, layer) for layer in layers]
    found = top_activations(
        model, rectified, images, params.interpretation.channels, params.interpretation.patches, params.batch_size
    )
    network, patches_of = deconvolution_network(model), Patches(geometry)
    shown = []
    pairs = list(zip(layers, found, strict=True))
    for layer, each in progress(
        pairs, "evaluate: strongest activations, convolution", len(pairs), naming=lambda pair: pair[0]
    ):
        projections, patches = _cuts(network, each, patches_of, images)
        figure = draw_deconvolutions(each, projections, patches, bounds_of(seen.images))
        caption = (
            f"{layer}: strongest activations of selected channels (in {each.layer}). Left: projected back to pixels by "
            "a deconvolution network. Right: the image patches that caused them, with the value of the activation."
        )
        shown.append(report.images(f"deconvolution_{layer}", figure, caption))
    return shown


def _cuts(
    network: Any, each: TopActivations, patches_of: Patches, images: NDArray[Any]
) -> tuple[list[list[NDArray[Any]]], list[list[NDArray[Any]]]]:
    """Projections and patches of a layer, cropped to the receptive fields of the activations."""
    many = each.images.shape[1]
    projected = project(
        network, each.layer, images[each.images.ravel()], each.places.ravel(), np.repeat(each.channels, many)
    ).reshape(*each.images.shape, *images.shape[1:])
    cuts, patches = [], []
    for row, chosen, places in zip(projected, each.images, each.places, strict=True):
        boxes = [patches_of.of(each.layer, int(place)) for place in places]
        cuts.append([projection[box] for projection, box in zip(row, boxes, strict=True)])
        patches.append([images[image][box] for image, box in zip(chosen, boxes, strict=True)])
    return cuts, patches


def _saliency(report: ReportBuilder, params: EvaluateParams, model: Any, layer: str, seen: Seen) -> list[Markup]:
    """Draw saliency maps for the most confident correct predictions, and for the most confident mistakes."""
    order = np.argsort(-seen.answers.confidence, kind="stable")
    speaks, answer = grad_cam(model, layer), make_predictor(model, params.batch_size)
    shown = []
    for name, right in (("hits", True), ("mistakes", False)):
        places = order[seen.answers.correct[order] == right][: params.interpretation.images]
        if not len(places):
            continue
        images = np.asarray(seen.images[places])
        predicted = seen.answers.predicted[places]
        titles = [
            f"no. {place}: {seen.classes[said]}" + ("" if right else f", actual {seen.classes[actual]}")
            for place, said, actual in zip(places, predicted, seen.answers.labels[places], strict=True)
        ]
        figure = draw_saliency(
            images, titles, speaks(images, predicted),
            occlusion_map(answer, images, predicted, _OCCLUDED), bounds_of(seen.images),
        )  # fmt: skip
        caption = (
            f"{'Correct predictions' if right else 'Mistakes'}: regions where {layer} supports the predicted class "
            "(Grad-CAM), and regions whose occlusion lowers (red) or raises (blue) its probability."
        )
        shown.append(report.images(f"saliency_{name}", figure, caption))
    return shown


def _receptive_fields(report: ReportBuilder, geometry: Geometry, seen: Seen) -> Markup | None:
    looking = [
        entry
        for entry in geometry.layers
        if entry.layer.kind in ("convolution", "separable_convolution", "max_pooling", "average_pooling")
        and not entry.layer.name.startswith(("head_", "scores"))
    ]
    if not looking:
        return None
    figure = draw_receptive_fields(np.asarray(seen.images[0]), looking, bounds_of(seen.images))
    caption = "Receptive field of the middle position of each layer, drawn over the first test image."
    return report.images("receptive_fields", figure, caption)
