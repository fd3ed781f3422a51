"""Visualize what the network has learned."""

from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from pipeline.data.dataset import Kind
from pipeline.data.rows import Rows, SelectedRows
from pipeline.evaluation.evaluation import Evaluation
from pipeline.evaluation.robustness import bounds_of
from pipeline.interpretation.deconvolution import deconvolution_network, project
from pipeline.interpretation.feature_separation import separate_features
from pipeline.interpretation.layer_outputs import convolutions, last_map, outputs, part, rectified_map
from pipeline.interpretation.network_outputs import joined
from pipeline.interpretation.receptive_fields import Patches
from pipeline.interpretation.saliency import grad_cam, occlusion_map
from pipeline.interpretation.top_activations import TopActivations, top_activations
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
from pipeline.terminal.progress import progress

# Maximum number of images for the class separation and for the strongest activations.
_MAX = 2_000
_MAX_BACKBONE = 6  # convolutions of a backbone that are shown
_OCCLUDED = 0.25  # side of the occluding box, as a share of the image's side


def add_interpretation_section(report: ReportBuilder, evaluation: Evaluation) -> None:
    """Add visualizations of filters, feature maps, activations and saliency to the report.

    Args:
        report: Report to extend.
        evaluation: The network, the data and the settings.
    """
    layers, backbone = convolutions(evaluation.model), evaluation.candidate.architecture.backbone
    if backbone is not None:  # some have a hundred
        shown = np.linspace(0, len(layers) - 1, min(_MAX_BACKBONE, len(layers))).astype(int)
        layers = tuple(layers[number] for number in shown)
    groups = [("Class separation in feature space", [_separation(report, evaluation)])]
    if layers:
        maps = [
            _filters(report, evaluation.model, layers[0], evaluation.kind),
            *_feature_maps(report, evaluation, layers),
        ]
        groups.append(("Filters and feature maps", maps))
        if backbone is None:  # their deconvolution supports only layers that the search draws
            projected = _deconvolutions(report, evaluation, layers)
            groups.append(("Strongest activations of each convolution", projected))
        groups.append(("Saliency maps", _saliency(report, evaluation, last_map(evaluation.model))))
    if (fields := _receptive_fields(report, evaluation)) is not None:
        groups.append(("Receptive fields", [fields]))
    report.sections.append(report.section("interpretation", "Interpretation", "interpretation", groups=groups))


def _sample(evaluation: Evaluation) -> NDArray[np.int64]:
    """Indices of a random sample of at most _MAX images."""
    return np.sort(np.random.default_rng(evaluation.seed).permutation(len(evaluation.test.images))[:_MAX])


def _separation(report: ReportBuilder, evaluation: Evaluation) -> Markup:
    sample, classes = _sample(evaluation), evaluation.classes
    labels = evaluation.test.labels[sample]
    features = joined(evaluation.outputs(SelectedRows(evaluation.test.images, sample))).features
    found = separate_features(features, labels, len(classes))
    if np.isfinite(found.silhouettes).any():
        report.metrics["silhouette"] = float(np.nanmean(found.silhouettes))
    figure = draw_separation(found, labels, classes)
    caption = (
        f"Left: features of {len(sample):,} test {report.words.many} (input of the last layer), projected onto two "
        "principal components. Right: mean silhouette of each class in the feature space. 1 means far from all other "
        "classes, 0 on the border to another class, and a negative value nearer to another class than to its own."
    )
    return report.plot("separation", figure, caption)


def _filters(report: ReportBuilder, model: Any, layer: str, kind: Kind) -> Markup:
    kernel = np.asarray(model.get_layer(layer).get_weights()[0])
    caption = "Kernels of the first convolution, each scaled to its own range of values."
    return report.images("filters", draw_filters(kernel, layer, kind), caption)


def _feature_maps(report: ReportBuilder, evaluation: Evaluation, layers: tuple[str, ...]) -> list[Markup]:
    """Draw the feature maps of one image for each of the first classes: the most confident correct prediction."""
    predictions, images = evaluation.predictions, evaluation.test.images
    sure = [
        int(places[np.argmax(predictions.confidence[places])])
        for label in range(len(evaluation.classes))
        if len(places := np.flatnonzero((predictions.labels == label) & predictions.correct))
    ][: evaluation.params.interpretation.images]
    shown = []
    inner = part(evaluation.model, *layers)
    for place in sure:
        maps = next(outputs(inner, images[place : place + 1], 1))
        title = f"{evaluation.classes[predictions.labels[place]]}, no. {place}"
        named = {name: each[0] for name, each in zip(layers, maps, strict=True)}
        drawn = {name: each for name, each in named.items() if varying(each).any()}
        constant = sum(int((~varying(each)).sum()) for each in named.values())
        figure = draw_feature_maps(np.asarray(images[place]), drawn, bounds_of(images), title, evaluation.kind)
        shown_for = f"test {report.words.one} {place}"
        caption = f"Feature maps of each convolution for {shown_for}: the channels that vary most, by number."
        caption += f" Constant maps are left out: {constant}." if constant else ""
        shown.append(report.images(f"feature_maps_{place}", figure, caption))
    return shown


def _deconvolutions(report: ReportBuilder, evaluation: Evaluation, layers: tuple[str, ...]) -> list[Markup]:
    model, params = evaluation.model, evaluation.params
    images = SelectedRows(evaluation.test.images, _sample(evaluation))
    rectified = [rectified_map(model, layer) for layer in layers]
    found = top_activations(
        model, rectified, images, params.interpretation.channels, params.interpretation.patches, params.batch_size
    )
    network, patches_of = deconvolution_network(model), Patches(evaluation.geometry)
    shown = []
    pairs = list(zip(layers, found, strict=True))
    for layer, each in progress(
        pairs, "evaluate: strongest activations, convolution", len(pairs), naming=lambda pair: pair[0]
    ):
        projections, patches = _cuts(network, each, patches_of, images)
        figure = draw_deconvolutions(each, projections, patches, bounds_of(evaluation.test.images), evaluation.kind)
        caption = (
            f"{layer}: strongest activations of selected channels (in {each.layer}). Left: projected back to "
            f"{report.words.positions} by a deconvolution network. Right: the patches of {report.words.many} that "
            "caused them, with the value of the activation."
        )
        shown.append(report.images(f"deconvolution_{layer}", figure, caption))
    return shown


def _cuts(
    network: Any, each: TopActivations, patches_of: Patches, images: Rows
) -> tuple[list[list[NDArray[Any]]], list[list[NDArray[Any]]]]:
    """Projections and patches of a layer, cropped to the receptive fields of the activations."""
    cuts, patches = [], []
    for channel, chosen, places in zip(each.channels, each.images, each.places, strict=True):
        boxes = [patches_of.of(each.layer, int(place)) for place in places]
        given = np.asarray(images[chosen])
        projected = project(network, each.layer, given, places, np.repeat(channel, len(chosen)))
        cuts.append([projection[box].copy() for projection, box in zip(projected, boxes, strict=True)])
        patches.append([image[box].copy() for image, box in zip(given, boxes, strict=True)])
    return cuts, patches


def _saliency(report: ReportBuilder, evaluation: Evaluation, layer: str) -> list[Markup]:
    """Draw saliency maps for the most confident correct predictions, and for the most confident mistakes."""
    predictions, classes = evaluation.predictions, evaluation.classes
    order = np.argsort(-predictions.confidence, kind="stable")
    class_activation = grad_cam(evaluation.model, layer)
    shown = []
    for name, right in (("hits", True), ("mistakes", False)):
        places = order[predictions.correct[order] == right][: evaluation.params.interpretation.images]
        if not len(places):
            continue
        images = np.asarray(evaluation.test.images[places])
        predicted = predictions.predicted[places]
        titles = [
            f"no. {place}: {classes[label]}" + ("" if right else f", actual {classes[actual]}")
            for place, label, actual in zip(places, predicted, predictions.labels[places], strict=True)
        ]
        figure = draw_saliency(
            images,
            titles,
            class_activation(images, predicted),
            occlusion_map(evaluation.predict, images, predicted, _OCCLUDED),
            bounds_of(evaluation.test.images),
            evaluation.kind,
        )
        caption = f"{'Correct predictions' if right else 'Mistakes'}: {_saliency_in_words(layer, evaluation.kind)}"
        shown.append(report.images(f"saliency_{name}", figure, caption))
    return shown


def _saliency_in_words(layer: str, kind: Kind) -> str:
    """Explain the two maps of a picture of saliency maps."""
    if kind == "series":
        return (
            f"how much {layer} supports the predicted class at each time (Grad-CAM, red curve from its smallest to its "
            "largest value), and how much occlusion around each time lowers (red, above the zero line) or raises "
            "(blue, below it) its probability. The title gives the ends of this scale."
        )
    return (
        f"regions where {layer} supports the predicted class (Grad-CAM), and regions whose occlusion lowers (red) or "
        "raises (blue) its probability."
    )


def _receptive_fields(report: ReportBuilder, evaluation: Evaluation) -> Markup | None:
    looking = [
        entry
        for entry in evaluation.geometry.layers
        if entry.layer.extent and not entry.layer.name.startswith(("head_", "scores"))
    ]
    if not looking:
        return None
    images = evaluation.test.images
    figure = draw_receptive_fields(np.asarray(images[0]), looking, bounds_of(images), evaluation.kind)
    caption = f"Receptive field of the middle position of each layer, drawn over the first test {report.words.one}."
    return report.images("receptive_fields", figure, caption)
