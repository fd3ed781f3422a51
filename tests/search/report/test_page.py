"""What the page of a study says about its finalists."""

from dataclasses import replace
from pathlib import Path

import pytest
from markupsafe import Markup

from search.analysis.finalists import finalists_in_words
from search.report.page import _CAPTIONS, page
from search.report.runs import describe_study
from search.study.results import best_of
from tests.search.study.test_finalists import Finals

PICTURES = dict.fromkeys(_CAPTIONS, Markup())


def test_the_page_and_the_terminal_call_the_samples_by_their_kind(tmp_path: Path) -> None:
    finals = Finals(tmp_path, finalists={"count": 2, "seeds": 1, "cross_validation": False})
    results, config = finals.run(), replace(finals.harness.config, kind="audio", val_images=30)
    text = " ".join(page("study", results, config, PICTURES).split())
    assert "of 30 validation recordings correctly" in text
    assert "One validation recording changes the accuracy by 3.3%" in text
    assert "KiB per recording in float32" in text
    assert "MACs per recording" in text
    assert "image" not in text.partition("</style>")[2].partition("<script")[0]


@pytest.mark.parametrize("folds", [False, True])
def test_the_page_says_how_the_finalists_were_trained_again(tmp_path: Path, folds: bool) -> None:
    finals = Finals(tmp_path, finalists={"count": 2, "seeds": 3, "cross_validation": folds})
    results, config = finals.run(), finals.harness.config
    best = best_of(results, config.settings)
    assert best is not None
    text = " ".join(page("study", results, config, PICTURES).split())
    how = "with other seeds and on other folds" if folds else "with other seeds"
    sentence = f"3 finalists were trained 3 more times, {how}."
    assert sentence in text
    assert sentence in describe_study("A study.", results, best, config)
    assert f"mean {'on other folds' if folds else 'with other seeds'}" in text
    assert ("on the same validation images" in text) == (not folds)
    assert next(iter(finalists_in_words(results, best, config.settings))) == sentence
    assert replace(best, finals=()).decisive("val_accuracy") == best.val_accuracy
