"""Cityscapes' average precision: hand-worked streets, and the evaluator by itself."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tiny_streets
from PIL import EpsImagePlugin, Image
from tiny_streets import BUSY, EMPTY, NAMES, QUIET, boxes, objects_of

from keras_recattend.errors import UserError
from keras_recattend.metrics import cityscapes
from keras_recattend.metrics.cityscapes_distance import distances, find_distances
from keras_recattend.submissions.cityscapes import CityscapesSubmission

PERSON, CAR, BUS, BICYCLE = 24, 26, 28, 33
CARS = objects_of(BUSY, "car")
PERFECT = {
    BUSY: [(CAR, CARS[0], 0.9), (CAR, CARS[1], 0.8)]
    + [(PERSON, *objects_of(BUSY, "person"), 0.7)],
    QUIET: [
        (BUS, *objects_of(QUIET, "bus"), 0.6),
        (BICYCLE, *objects_of(QUIET, "bicycle"), 0.5),
    ],
    EMPTY: [],
}


@pytest.fixture(scope="module")
def streets(tmp_path_factory):
    root = tmp_path_factory.mktemp("cityscapes")
    tiny_streets.make(root)
    return root


def written(folder, found):
    """Results of {name: [(label id, corners, confidence)]} in the official format."""
    submission = CityscapesSubmission(folder)
    for name in NAMES:
        objects = found.get(name, [])
        submission.add(
            name,
            boxes(*[corners for _, corners, _ in objects]),
            np.array([label for label, _, _ in objects], int),
            np.array([score for _, _, score in objects]),
        )
    submission.finish()
    return {name: submission.text_file(name) for name in NAMES}


def score(streets, folder, found, distances=None):
    results = written(folder / "results", found)
    truth = cityscapes.find_truth(streets, NAMES)
    return cityscapes.evaluate(results, truth, folder / "results", distances)


def test_perfect(streets, tmp_path):
    values = score(streets, tmp_path, PERFECT)
    assert values["ap"] == values["ap50"] == 100
    assert [values[f"ap_{name}"] for name in ("person", "car", "bus", "bicycle")] == (
        [100] * 4
    )
    # Classes that are nowhere to find have no precision, and no share in the mean.
    assert values["ap_train"] is None
    # Without distances there is nothing to tell near objects by.
    assert values["ap50m"] is None
    assert values["ap100m"] is None
    assert list(values)[:4] == ["ap", "ap50", "ap50m", "ap100m"]
    assert len(values) == 12


def test_a_folder_by_a_roundabout_way(streets, tmp_path):
    (tmp_path / "other").mkdir()
    assert score(streets, tmp_path / "other" / "..", PERFECT)["ap"] == 100


def test_nothing_found(streets, tmp_path):
    values = score(streets, tmp_path, {})
    assert values["ap"] == values["ap50"] == values["ap_car"] == 0


def test_half_of_the_cars(streets, tmp_path):
    """One of two, without a false one: precision 1 up to recall 1/2."""
    found = {**PERFECT, BUSY: [PERFECT[BUSY][0], PERFECT[BUSY][2]]}
    values = score(streets, tmp_path, found)
    assert values["ap_car"] == pytest.approx(50)
    assert values["ap"] == pytest.approx((50 + 3 * 100) / 4)


def test_overlaps_hand_worked(streets, tmp_path):
    """A bus found by 80 of its 100 rows: right below 0.80 alone, six of ten times."""
    y0, x0, _, x1 = objects_of(QUIET, "bus")[0]
    bus = (BUS, (y0, x0, y0 + 79, x1), 0.6)
    values = score(streets, tmp_path, {**PERFECT, QUIET: [bus, PERFECT[QUIET][1]]})
    assert values["ap_bus"] == pytest.approx(60)
    assert values["ap50"] == pytest.approx(100)


@pytest.mark.parametrize(
    ("name", "corners", "ignored"),
    [
        (BUSY, (152, 210, 187, 370), True),  # in the group of cars
        (BUSY, (10, 345, 90, 395), True),  # outside of what is labelled
        (BUSY, (100, 100, 140, 180), False),
        (EMPTY, (100, 100, 140, 180), False),
    ],
    ids=["group", "void", "beside the objects", "in a street without objects"],
)
def test_surplus(streets, tmp_path, name, corners, ignored):
    """A surer car that does not exist, before the two that do."""
    found = {**PERFECT, name: [*PERFECT[name], (CAR, corners, 0.99)]}
    values = score(streets, tmp_path, found)
    # Precision 2/3 at recall 1, 1/2 at 1/2, 0 at 0, where the evaluator adds a point
    # of precision 1; a point weighs half the recall between its neighbours.
    expected = 2 / 3 * 1 / 4 + 1 / 2 * 1 / 2 + 0 * 1 / 4 + 1 * 0
    assert values["ap_car"] == pytest.approx(100 if ignored else 100 * expected)
    assert values["ap_person"] == 100


def test_nothing_to_find(streets, tmp_path):
    results = written(tmp_path / "results", {EMPTY: PERFECT[BUSY]})
    truth = cityscapes.find_truth(streets, [EMPTY])
    values = cityscapes.evaluate(results, truth, tmp_path / "results")
    assert set(values.values()) == {None}


def test_polygons_are_drawn(streets, tmp_path):
    root = tmp_path / "polygons"
    for path in tiny_streets.make(root).values():
        path.unlink()
    before = sorted(root.rglob("*"))
    assert score(root, tmp_path, PERFECT)["ap"] == 100
    assert sorted(root.rglob("*")) == before


def by_the_evaluator(root, results):
    """Its published procedure: folders in variables, and its main()."""
    program = (
        "import json, numpy as np\n"
        "np.in1d = getattr(np, 'in1d', np.isin)\n"
        "from cityscapesscripts.evaluation import "
        "evalInstanceLevelSemanticLabeling as e\n"
        "e.args.gtInstancesFile = 'instances.json'\n"
        # Its own knows no numpy integers.
        "e.writeDict2JSON = lambda d, f: json.dump(d, open(f, 'w'), default=int)\n"
        "e.main()\n"
    )
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        env={
            **os.environ,
            "CITYSCAPES_DATASET": str(root),
            "CITYSCAPES_RESULTS": str(results),
        },
        cwd=results.parent,
        check=True,
        capture_output=True,
    )
    file = root / "evaluationResults" / "resultInstanceLevelSemanticLabeling.json"
    return json.loads(file.read_text())["averages"]


def test_equals_the_evaluator(tmp_path, random):
    """Moved boxes, wrong classes, surplus ones, several of one confidence."""
    root = tmp_path / "cityscapes"
    tiny_streets.make(root)
    found = {}
    for name, objects in PERFECT.items():
        moved = [
            (label, tuple(np.clip(corners + random.integers(-6, 7, 4), 0, 199)), 0.5)
            for label, corners, _ in objects
        ]
        extra = (int(random.choice([CAR, PERSON, BUS])), (120, 250, 160, 330), 0.5)
        found[name] = [*moved, extra]
    ours = score(root, tmp_path, found)
    theirs = by_the_evaluator(root, tmp_path / "results")
    assert ours["ap"] == pytest.approx(100 * theirs["allAp"])
    assert ours["ap50"] == pytest.approx(100 * theirs["allAp50%"])
    for name in ("person", "car", "bus", "bicycle"):
        value = 100 * theirs["classes"][name]["ap"]
        assert ours[f"ap_{name}"] == pytest.approx(value)
    assert 0 < ours["ap"] < ours["ap50"] <= 100


# -- mistakes ----------------------------------------------------------------------


def test_missing_labels(tmp_path):
    with pytest.raises(UserError, match=r"aachen_000000_000019_gtFine.*3 such images"):
        cityscapes.find_truth(tmp_path, NAMES)


def test_what_the_evaluator_refuses_is_told(streets, tmp_path, capfd):
    results = written(tmp_path / "results", PERFECT)
    results[BUSY].write_text("masks/a b.png 26 0.5\n")
    truth = cityscapes.find_truth(streets, NAMES)
    with pytest.raises(UserError, match=r"own evaluator failed: .*Invalid prediction"):
        cityscapes.evaluate(results, truth, tmp_path / "results")
    assert capfd.readouterr().out == ""


# -- distances ---------------------------------------------------------------------


def stored(metres):
    """The disparity image's value: 0.2 m and 2000 px make 400 / disparity metres."""
    return round(256 * 400 / metres) + 1


def test_distances_hand_worked():
    camera = {"extrinsic": {"baseline": 0.2}, "intrinsic": {"fx": 2000.0}}
    ids = np.array([[26000, 26000, 26000, 26001], [7, 7, 7, 26001]])
    # Disparities of 4, 8 and 10 pixels: 100, 50 and 40 metres.
    disparity = np.array([[1025, 2049, 2561, 0], [0, 0, 2049, 0]], np.uint16)
    found = distances(ids, disparity, camera)
    assert found[26000] == pytest.approx((50.0, 1.0))
    assert found[26001] == pytest.approx((-1.0, 0.0))
    assert found[7] == pytest.approx((50.0, 1 / 3))


def test_within_50_and_100_metres(tmp_path):
    """The person is at 30 m, one car at 80 m, the other unknown, the bus at 150 m."""
    root = tmp_path / "cityscapes"
    truth = tiny_streets.make(root)
    (person,) = objects_of(BUSY, "person")
    (bus,) = objects_of(QUIET, "bus")
    values = {
        BUSY: {person: stored(30), CARS[0]: stored(80)},
        QUIET: {bus: stored(150)},
    }
    assert find_distances(root, truth, NAMES) is None
    tiny_streets.add_distances(root, values)
    known = find_distances(root, truth, NAMES)
    assert known[BUSY][26000] == pytest.approx((80, 1), rel=1e-3)
    assert known[BUSY][26001] == (-1, 0)
    # Found: the far car and the bus; missed: the person and the car at no distance.
    found = {BUSY: [PERFECT[BUSY][0]], QUIET: [PERFECT[QUIET][0]]}
    ours = score(root, tmp_path, found, known)
    # Classes within 50 m: person (0). Within 100 m: person (0) and car (1 of 1).
    assert ours["ap50m"] == pytest.approx(0)
    assert ours["ap100m"] == pytest.approx(50)
    # In all: person 0, car 1 of 2, bus 100, bicycle 0.
    assert ours["ap"] == pytest.approx((0 + 50 + 100 + 0) / 4)


def test_damaged_distances(tmp_path):
    truth = tiny_streets.make(tmp_path)
    tiny_streets.add_distances(tmp_path, {})
    next(tmp_path.glob("camera/val/aachen/*.json")).write_text("{}")
    with pytest.raises(UserError, match=r"camera_trainvaltest\.zip"):
        find_distances(tmp_path, truth, NAMES)


def test_distances_that_are_no_png_start_no_other_program(tmp_path, monkeypatch):
    truth = tiny_streets.make(tmp_path)
    tiny_streets.add_distances(tmp_path, {})
    file = next(tmp_path.glob("disparity/val/aachen/*.png"))
    Image.new("L", (5, 3)).save(file, "EPS")
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_: pytest.fail("it was"))
    with pytest.raises(UserError, match=r"disparity_trainvaltest\.zip"):
        find_distances(tmp_path, truth, NAMES)
