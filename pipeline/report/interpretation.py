"""What the network sees."""

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

# Images in whose features the classes are separated, and among which the strongest activations are looked for, at most.
_MOST = 2_000
_OCCLUDED = 0.25  # side of the box that covers, as a share of the image's


@dataclass(frozen=True)
class Seen:
    """What the look inside needs to know.

    Attributes:
        images: (n, *grid, channels), raw values of the test split.
        answers: of the network to them.
        look: from images to what its last layers say about them, part by part.
        classes: their names.
    """

    images: NDArray[Any]
    answers: Predictions
    look: Callable[[NDArray[Any]], Iterable[NetworkOutputs]]
    classes: tuple[str, ...]


def add_interpretation_section(
    report: ReportBuilder, params: EvaluateParams, seed: int, model: Any, geometry: Geometry, seen: Seen
) -> None:
    """Write pictures of the inside of the network into the report.

    Args:
        report: takes them.
        params: how much to show.
        seed: of the choice of images.
        model: the network.
        geometry: of its architecture.
        seen: the test images, and what the network says about them.
    """
    layers = convolutions(model)
    groups = [("How the last layer separates the classes", [_separation(report, seed, seen)])]
    if layers:
        maps = [_filters(report, model, layers[0]), *_feature_maps(report, params, model, layers, seen)]
        groups.append(("Filters and maps", maps))
        projected = _deconvolutions(report, params, model, layers, geometry, seed, seen)
        groups.append(("What excites each convolution", projected))
        groups.append(("What answers rest on", _saliency(report, params, model, last_map(model), seen)))
    are_images = seen.images.ndim == 4
    if are_images and (fields := _receptive_fields(report, geometry, seen)) is not None:
        groups.append(("Receptive fields", [fields]))
    report.sections.append(
        report.section("inside", "Look inside", "interpretation", groups=groups, not_images=not are_images)
    )


def _some(seen: Seen, seed: int) -> NDArray[np.int64]:
    """Places of the images that stand for all."""
    return np.sort(np.random.default_rng(seed).permutation(len(seen.images))[:_MOST])


def _separation(report: ReportBuilder, seed: int, seen: Seen) -> Markup:
    some = _some(seen, seed)
    labels = seen.answers.labels[some]
    found = separate_features(joined(seen.look(np.asarray(seen.images[some]))).features, labels, len(seen.classes))
    if np.isfinite(found.silhouettes).any():
        report.metrics["silhouette"] = float(np.nanmean(found.silhouettes))
    figure = draw_separation(found, labels, seen.classes)
    caption = (
        f"What the last layer has to tell the classes apart by, for {len(some):,} test images. A silhouette of "
        "1 is a class far from all others, 0 lies on a border, below 0 is nearer to another class than to its own."
    )
    return report.plot("separation", figure, caption)


def _filters(report: ReportBuilder, model: Any, layer: str) -> Markup:
    kernel = np.asarray(model.get_layer(layer).get_weights()[0])
    caption = "The kernels of the first convolution, each on its own scale."
    return report.images("filters", draw_filters(kernel, layer), caption)


def _feature_maps(
    report: ReportBuilder, params: EvaluateParams, model: Any, layers: tuple[str, ...], seen: Seen
) -> list[Markup]:
    """Of an image of each of the first classes, one that the network is sure of."""
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
        caption = f"What each convolution makes of test image {place}; the channels that vary most, by number."
        caption += f" {constant} maps are constant and left out." if constant else ""
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
        pairs, "evaluate: what excites each convolution,", len(pairs), naming=lambda pair: pair[0]
    ):
        projections, patches = _cuts(network, each, patches_of, images)
        figure = draw_deconvolutions(each, projections, patches, bounds_of(seen.images))
        caption = (
            f"{layer}: the strongest activations of its channels ({each.layer}), projected back to pixels by a "
            "deconvolution network, and the patches that caused them with the activation."
        )
        shown.append(report.images(f"deconvolution_{layer}", figure, caption))
    return shown


def _cuts(
    network: Any, each: TopActivations, patches_of: Patches, images: NDArray[Any]
) -> tuple[list[list[NDArray[Any]]], list[list[NDArray[Any]]]]:
    """Projections and patches of a layer, cut to what the activation sees."""
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
    """The most confident hits, and the most confident mistakes."""
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
            f"no. {place}: {seen.classes[said]}" + ("" if right else f", is {seen.classes[seen.answers.labels[place]]}")
            for place, said in zip(places, predicted, strict=True)
        ]
        figure = draw_saliency(
            images, titles, speaks(images, predicted),
            occlusion_map(answer, images, predicted, _OCCLUDED), bounds_of(seen.images),
        )  # fmt: skip
        caption = (
            f"{name.capitalize()}: where {layer} speaks for the answer (Grad-CAM), and where covering the image costs "
            "the answer probability (red) or adds to it (blue)."
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
    caption = "What the middle position of each layer sees of the first test image."
    return report.images("receptive_fields", figure, caption)
