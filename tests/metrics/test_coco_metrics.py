"""COCO's average precision: hand-worked cases, and pycocotools used by itself."""

import copy
import json

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from keras_recattend.metrics import coco

SIZE = (40, 60)
NOTHING = np.zeros(SIZE, np.uint16)


def boxes(*corners):
    """A label map with filled boxes (y0, x0, y1, x1), ids in their order."""
    labels = NOTHING.copy()
    for i, (y0, x0, y1, x1) in enumerate(corners, start=1):
        labels[y0:y1, x0:x1] = i
    return labels


TRUTH = boxes((0, 0, 10, 10), (20, 20, 30, 40))


def ap(truth, prediction, scores):
    return coco.average_precision([truth], [prediction], [scores])


def test_perfect():
    assert ap(TRUTH, TRUTH, [0.5, 0.9]) == {"ap": 100, "ap50": 100, "ap75": 100}


def test_ids_of_the_truth_may_have_gaps():
    truth = np.where(TRUTH == 2, 700, TRUTH)
    assert ap(truth, TRUTH, [0.5, 0.9])["ap"] == 100


def test_nothing_found():
    assert ap(TRUTH, NOTHING, []) == {"ap": 0, "ap50": 0, "ap75": 0}


def test_nothing_to_find():
    """COCO's average is over objects that exist; surplus ones alone are no score."""
    none = {"ap": None, "ap50": None, "ap75": None}
    assert ap(NOTHING, TRUTH, [0.5, 0.9]) == none
    assert ap(NOTHING, NOTHING, []) == none


def test_more_than_a_hundred_objects():
    """The benchmark's bound is for its images; dense label maps count as a whole."""
    dense = np.zeros((40, 60), np.uint16)
    dense[::4, ::4] = np.arange(1, 151).reshape(10, 15)
    scores = np.linspace(0.9, 0.1, 150)
    assert ap(dense, dense, scores) == {"ap": 100, "ap50": 100, "ap75": 100}
    assert ap(dense, np.where(dense > 75, 0, dense), scores[:75])["ap"] < 51


def test_of_a_benchmarks_image_a_hundred_predictions_count():
    """One hundred of 150: recall reaches 2/3."""
    corners = [(y, x, y + 1, x + 1) for y in range(0, 40, 4) for x in range(0, 60, 4)]
    dense = boxes(*corners)
    truth = {
        "images": [{"id": 1, "height": 40, "width": 60}],
        "categories": [{"id": 1, "name": "object"}],
        "annotations": [annotation(i, 1, 1, c) for i, c in enumerate(corners, 1)],
    }
    results = coco.results_of_image(1, dense, np.linspace(0.9, 0.1, len(corners)))
    assert len(results) == 150
    # Precision is 1 at the recalls 0, 0.01, ..., 0.66, of 101 up to 1.
    expected = pytest.approx(100 * 67 / 101)
    assert coco.evaluate(truth, results)["ap"] == expected
    assert coco.evaluate(truth, results, most=150)["ap"] == 100


def test_an_empty_image_beside_another():
    """A surplus object in the empty image comes first: half of all that is found."""
    found = boxes((0, 0, 10, 10), (20, 20, 30, 40))
    surplus = boxes((0, 0, 5, 5))
    both = coco.average_precision([TRUTH, NOTHING], [found, surplus], [[0.8, 0.7], [1]])
    # Ordered: wrong, right, right. Precision 2/3 at recall 1, at best 2/3 before.
    assert both["ap"] == pytest.approx(100 * 2 / 3)
    both = coco.average_precision([TRUTH, NOTHING], [found, NOTHING], [[0.8, 0.7], []])
    assert both["ap"] == pytest.approx(100)


def test_half_found_hand_worked():
    """One of two: precision 1 up to recall 1/2, which is 51 of the 101 points."""
    assert ap(TRUTH, boxes((0, 0, 10, 10)), [0.9])["ap"] == pytest.approx(
        100 * 51 / 101
    )


@pytest.mark.parametrize("found", [(0, 0, 40, 40), (0, 50, 10, 60)])
def test_objects_of_all_sizes_count_together(found):
    """COCO calls the one medium, over 32 x 32 pixels, and the other small."""
    truth = boxes((0, 0, 40, 40), (0, 50, 10, 60))
    # Precision is 1 at the recalls 0, 0.01, ..., 0.50, of 101 up to 1.
    assert ap(truth, boxes(found), [0.9])["ap"] == pytest.approx(100 * 51 / 101)


@pytest.mark.parametrize(("scores", "precision"), [([0.9, 0.8], 1), ([0.8, 0.9], 0.5)])
def test_scores_order_the_predictions(scores, precision):
    """A surplus object is free behind the right one and costs half before it."""
    found = boxes((0, 0, 10, 10), (35, 50, 40, 60))
    expected = 100 * precision * 51 / 101
    assert ap(TRUTH, found, scores)["ap50"] == pytest.approx(expected)


def test_the_mean_over_overlaps_hand_worked():
    """8 of 10 rows: IoU 0.8 counts at 0.50, ..., 0.80, seven of ten thresholds."""
    truth, found = boxes((0, 0, 10, 10)), boxes((0, 0, 8, 10))
    result = ap(truth, found, [0.9])
    assert result["ap50"] == result["ap75"] == pytest.approx(100)
    assert result["ap"] == pytest.approx(70)


def test_a_label_map_without_its_scores():
    with pytest.raises(ValueError, match="labels up to 2 but 1 scores"):
        coco.results_of_image(7, TRUTH, [0.5])
    with pytest.raises(ValueError, match=r"one shape, received \(40, 60\) and \(60, 4"):
        ap(TRUTH, TRUTH.T, [0.5, 0.9])


# -- annotations as the benchmark has them -----------------------------------------


def rectangle(y0, x0, y1, x1):
    """The polygon that pycocotools fills with exactly these pixels."""
    return [[x0, y0, x1, y0, x1, y1, x0, y1]]


def annotation(number, image_id, category_id, box, iscrowd=0):
    y0, x0, y1, x1 = box
    shape = rectangle(*box)
    if iscrowd:
        mask = boxes(box) > 0
        starts = np.flatnonzero(np.diff(np.pad(mask.ravel("F").astype(int), 1)))
        counts = np.diff([0, *starts, mask.size]).tolist()
        shape = {"size": list(SIZE), "counts": counts}
    return {
        "id": number,
        "image_id": image_id,
        "category_id": category_id,
        "segmentation": shape,
        "area": (y1 - y0) * (x1 - x0),
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "iscrowd": iscrowd,
    }


CROWD = (20, 0, 40, 30)


@pytest.fixture
def annotations():
    """Three images: two zebras and a crowd of zebras, a zebra and a dog, nothing."""
    return {
        "images": [
            {"id": i, "file_name": f"{i:012d}.jpg", "height": 40, "width": 60}
            for i in (11, 12, 13)
        ],
        "categories": [{"id": 24, "name": "zebra"}, {"id": 18, "name": "dog"}],
        "annotations": [
            annotation(1, 11, 24, (0, 0, 10, 20)),
            annotation(2, 11, 24, (5, 40, 35, 60)),
            annotation(3, 11, 24, CROWD, iscrowd=1),
            annotation(4, 12, 24, (2, 2, 22, 32)),
            annotation(5, 12, 18, (25, 2, 35, 40)),
        ],
    }


def found_zebras():
    """One exact, one rough, two in the crowd, one on the dog, one on nothing."""
    return [
        *coco.results_of_image(
            11,
            boxes((0, 0, 10, 20), (8, 40, 35, 58), (22, 2, 30, 12), (30, 14, 38, 28)),
            [0.7, 0.8, 0.95, 0.9],
            24,
        ),
        *coco.results_of_image(12, boxes((25, 2, 35, 40)), [0.6], 24),
        *coco.results_of_image(13, boxes((0, 0, 6, 6)), [0.3], 24),
    ]


def by_pycocotools(folder, annotations, results, use_categories=1, **chosen):
    """COCO's published procedure, from files."""
    (folder / "truth.json").write_text(json.dumps(annotations))
    (folder / "results.json").write_text(json.dumps(results))
    truth = COCO(str(folder / "truth.json"))
    evaluation = COCOeval(truth, truth.loadRes(str(folder / "results.json")), "segm")
    evaluation.params.useCats = use_categories
    for name, value in chosen.items():
        setattr(evaluation.params, name, value)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return dict(zip(("ap", "ap50", "ap75"), 100 * evaluation.stats, strict=False))


def test_equals_pycocotools(annotations, tmp_path):
    results = found_zebras()
    before = copy.deepcopy((annotations, results))
    ours = coco.evaluate(annotations, results, category_ids=[24])
    assert (annotations, results) == before
    theirs = by_pycocotools(tmp_path, annotations, results, catIds=[24])
    assert ours == pytest.approx(theirs)
    assert 0 < ours["ap"] < ours["ap50"] < 100


def test_equals_pycocotools_whatever_the_category(annotations, tmp_path):
    """Without categories the find on the dog is a dog found."""
    results = found_zebras()
    ours = coco.evaluate(annotations, results, by_category=False)
    theirs = by_pycocotools(tmp_path, annotations, results, use_categories=0)
    assert ours == pytest.approx(theirs)
    assert ours["ap"] > coco.evaluate(annotations, results, category_ids=[24])["ap"]
    # Categories that are not scored are not looked for, either.
    zebras = coco.evaluate(annotations, results, category_ids=[24], by_category=False)
    assert zebras == coco.evaluate(annotations, results, category_ids=[24])


def test_equals_pycocotools_on_label_maps(tmp_path, random):
    """Random boxes and scores, as files with polygons against our label maps."""
    truths, found, scores, entries, results = [], [], [], [], []
    for image_id in range(1, 7):
        corners = [(0, 0, 12, 14), (14, 0, 30, 25), (0, 30, 20, 50)][: image_id % 4]
        moved = [np.clip(c + random.integers(-2, 3, 4), 0, 40) for c in corners]
        truths.append(boxes(*corners))
        found.append(boxes(*moved))
        scores.append(random.uniform(0.3, 1, len(moved)))
        first = len(entries) + 1
        entries += [
            annotation(first + k, image_id, 1, c) for k, c in enumerate(corners)
        ]
        results += coco.results_of_image(image_id, found[-1], scores[-1])
    truth = {
        "images": [{"id": i, "height": 40, "width": 60} for i in range(1, 7)],
        "categories": [{"id": 1, "name": "object"}],
        "annotations": entries,
    }
    ours = coco.average_precision(truths, found, scores)
    assert ours == pytest.approx(by_pycocotools(tmp_path, truth, results))
    assert 0 < ours["ap"] < 100


def test_crowds_are_ignored(annotations):
    """What lies in the crowd is neither right nor wrong; elsewhere it costs."""
    perfect = coco.results_of_image(
        11, boxes((0, 0, 10, 20), (5, 40, 35, 60)), [0.6, 0.5], 24
    )
    in_crowd = coco.results_of_image(11, boxes((22, 2, 30, 12)), [0.9], 24)
    outside = coco.results_of_image(11, boxes((11, 2, 19, 12)), [0.9], 24)

    def zebras(results):
        return coco.evaluate(annotations, results, [11], [24])["ap"]

    assert zebras(perfect) == pytest.approx(100)
    assert zebras(perfect + in_crowd) == pytest.approx(100)
    assert zebras(perfect + outside) < 80


def test_chosen_images(annotations):
    assert coco.evaluate(annotations, [], [11, 12], [24])["ap"] == 0
    assert coco.evaluate(annotations, [], [13], [24])["ap"] is None
    with pytest.raises(ValueError, match=r"results for 2 images .*\[12, 13\]"):
        coco.evaluate(annotations, found_zebras(), [11])


def test_ids_of_32_bits():
    truth = np.where(TRUTH == 2, 2_000_000_000, TRUTH).astype(np.int64)
    assert ap(truth, TRUTH, [0.5, 0.9])["ap"] == 100
