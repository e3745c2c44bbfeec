"""Scores and submissions of each data set, as `evaluate_run` feeds them."""

import json
import logging
import types
import zipfile

import h5py
import numpy as np
import pytest
import tiny_streets
from PIL import Image
from tiny_streets import BUSY, EMPTY, NAMES, QUIET, objects_of

from keras_recattend import official
from keras_recattend.errors import UserError
from keras_recattend.postprocess import Found
from keras_recattend.run_lengths import encoded

SIZE = (20, 30)
ZEBRA, DOG = 24, 18


def boxes(*corners, size=SIZE):
    """A label map with filled boxes (y0, x0, y1, x1), ids in their order."""
    labels = np.zeros(size, np.uint16)
    for i, (y0, x0, y1, x1) in enumerate(corners, start=1):
        labels[y0:y1, x0:x1] = i
    return labels


def example(name, labels):
    return types.SimpleNamespace(name=name, image=None, labels=labels)


def found(labels, *scores):
    count = int(labels.max())
    scores = np.float32(scores or [0.9] * count)
    return Found(labels, scores, np.zeros((count, 4), np.float32))


ONE, TWO = boxes((0, 0, 10, 10)), boxes((0, 0, 10, 10), (12, 12, 20, 30))
NONE = boxes()


# -- label maps --------------------------------------------------------------------


@pytest.mark.parametrize("dataset", ["leaves", "kitti", "folders", "cvppp"])
def test_any_data_set_has_a_precision(dataset):
    with official.of_dataset(dataset, ["a", "b"]) as benchmark:
        benchmark.add(example("a", TWO), found(ONE))
        benchmark.add(example("b", NONE), found(NONE))
        benchmark.add(example("c", None), found(TWO))  # not scored
        values = benchmark.finish()
    assert values["ap"] == values["ap75"] == pytest.approx(100 * 51 / 101)


def test_without_labels_there_is_no_precision():
    with official.of_dataset("leaves", []) as benchmark:
        benchmark.add(example("a", None), found(ONE))
        assert benchmark.finish() == {}


def test_options_that_do_not_go_with_the_data_set(tmp_path):
    with pytest.raises(UserError, match=r"No server takes .* kitti; .* cvppp, city"):
        official.of_dataset("kitti", [], submission=tmp_path / "a.json")
    with pytest.raises(UserError, match=r"--semantic-dir .* cityscapes, not with coco"):
        official.of_dataset("coco", [], semantic_dir=tmp_path)
    for dataset in ("cvppp", "coco", "cityscapes"):
        with pytest.raises(UserError, match="--submission"):
            official.of_dataset(
                dataset, [], data_dir=None, submission=tmp_path / "results.txt"
            )
    assert not list(tmp_path.iterdir())


# -- CVPPP -------------------------------------------------------------------------


def test_cvppp(tmp_path):
    path = tmp_path / "leaves.h5"
    names = {"subset": "A3", "submission": path}
    with official.of_dataset("cvppp", ["plant001"], **names) as benchmark:
        benchmark.add(example("plant001", TWO), found(TWO))
        benchmark.add(example("plant002", None), found(ONE))
        assert benchmark.finish()["ap"] == 100
    with h5py.File(path) as file:
        assert sorted(file["A3"]) == ["plant001", "plant002"]
        np.testing.assert_array_equal(file["A3/plant002/label"], ONE)


def test_nothing_is_left_when_it_fails(tmp_path):
    def interrupted():
        with official.of_dataset("cvppp", [], submission=tmp_path / "a.h5") as b:
            b.add(example("plant001", TWO), found(TWO))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not list(tmp_path.iterdir())


# -- COCO --------------------------------------------------------------------------


@pytest.fixture
def coco_dir(tmp_path):
    """Image 5: a zebra, and a dog below; image 6: nothing; image 7: a zebra."""
    objects = [(5, ZEBRA, 1, TWO), (5, DOG, 2, TWO), (7, ZEBRA, 1, ONE)]
    annotations = [
        {
            "id": i,
            "image_id": image,
            "category_id": category,
            "segmentation": encoded(labels == number),
            "area": int((labels == number).sum()),
            "iscrowd": 0,
        }
        for i, (image, category, number, labels) in enumerate(objects, start=1)
    ]
    content = {
        "images": [{"id": i, "height": 20, "width": 30} for i in (5, 6, 7, 8)],
        "annotations": annotations,
        "categories": [{"id": ZEBRA, "name": "zebra"}, {"id": DOG, "name": "dog"}],
    }
    (tmp_path / "annotations").mkdir()
    file = tmp_path / "annotations" / "instances_val2017.json"
    file.write_text(json.dumps(content))
    return tmp_path


def coco(folder, predictions, **options):
    """Values for predictions {image id: `Found`}; labels as the records have them."""
    names = [f"{i:012d}" for i in predictions]
    with official.of_dataset("coco", names, data_dir=folder, **options) as benchmark:
        for name, prediction in zip(names, predictions.values(), strict=True):
            benchmark.add(example(name, NONE), prediction)
        return benchmark.finish()


def test_coco_of_one_category(coco_dir):
    values = coco(coco_dir, {5: found(ONE), 7: found(ONE)}, class_names=["zebra"])
    assert values == {
        "ap": 100,
        "ap50": 100,
        "ap75": 100,
        "ap_class_agnostic": False,
        "ap_all_images": False,
    }
    # The dog is no zebra: surer than the zebras, it costs a third of the precision.
    values = coco(
        coco_dir, {5: found(TWO, 0.5, 0.9), 7: found(ONE, 0.5)}, class_names=["zebra"]
    )
    assert values["ap"] == pytest.approx(100 * 2 / 3)


def test_that_not_all_images_were_scored_is_told(coco_dir, caplog):
    """What is found on the others is wrong by the benchmark's rules."""
    some = {5: found(ONE), 7: found(ONE)}
    coco(coco_dir, some, class_names=["zebra"])
    assert "that of 2 of the 4 images" in caplog.text
    assert "--all-images" in caplog.text
    caplog.clear()
    rest = {6: found(ONE), 8: found(NONE)}
    values = coco(coco_dir, some | rest, class_names=["zebra"])
    assert values["ap_all_images"] is True
    assert values["ap"] < 100
    assert not caplog.records


def test_not_all_images_of_two_files(coco_dir, caplog):
    annotations = coco_dir / "annotations"
    content = json.loads((annotations / "instances_val2017.json").read_text())
    content["annotations"] = []
    content["images"] = [{"id": i, "height": 20, "width": 30} for i in (1, 2)]
    (annotations / "instances_train2017.json").write_text(json.dumps(content))
    some = {1: found(NONE), 5: found(ONE), 7: found(ONE)}
    values = coco(coco_dir, some, class_names=["zebra"])
    assert values["ap_all_images"] is False
    assert "that of 3 of the 6 images" in caplog.text


def test_coco_of_several_categories(coco_dir, caplog):
    """Every object counts, whatever it is; and that is said."""
    with caplog.at_level(logging.INFO):
        values = coco(
            coco_dir, {5: found(TWO), 7: found(ONE)}, class_names=["dog", "zebra"]
        )
    assert values["ap"] == 100
    assert values["ap_class_agnostic"] is True
    assert "whatever their category (useCats=0)" in caplog.text


def test_coco_nothing_found_and_nothing_to_find(coco_dir):
    nothing = {5: found(NONE), 6: found(NONE), 7: found(NONE)}
    assert coco(coco_dir, nothing, class_names=["zebra"])["ap"] == 0
    none = coco(coco_dir, {6: found(ONE)}, class_names=["zebra"])
    assert none["ap"] is none["ap50"] is None


def test_coco_submission(coco_dir, tmp_path):
    path = tmp_path / "new" / "results.json"
    options = {"class_names": ["dog"], "submission": path}
    names = ["000000000005"]
    with official.of_dataset("coco", names, data_dir=coco_dir, **options) as benchmark:
        benchmark.add(example(names[0], TWO), found(TWO))
        benchmark.add(example("000000000008", None), found(ONE))
        assert not path.exists()
        values = benchmark.finish()
    results = json.loads(path.read_text())
    assert [(r["image_id"], r["category_id"]) for r in results] == [
        (5, DOG),
        (5, DOG),
        (8, DOG),
    ]
    # The image without labels is not scored; the dog is the second of two equals.
    assert values["ap"] == pytest.approx(50)


def test_coco_without_its_files(tmp_path, caplog):
    gone = tmp_path / "gone"
    assert coco(gone, {5: found(ONE)}, class_names=["zebra"]) == {}
    assert "no average precision" in caplog.text
    with pytest.raises(UserError, match="--data-dir"):
        coco(gone, {5: found(ONE)}, submission=tmp_path / "a.json")


# -- Cityscapes --------------------------------------------------------------------

LABELS = {
    BUSY: ("car", "person"),
    QUIET: ("bus", "bicycle"),
    EMPTY: (),
}


@pytest.fixture(scope="module")
def streets(tmp_path_factory):
    """The benchmark, and semantic maps that are its own labels."""
    root = tmp_path_factory.mktemp("cityscapes")
    for name, file in tiny_streets.make(root).items():
        with Image.open(file) as image:
            ids = np.array(image)
        labels = np.where(ids >= 1000, ids // 1000, ids).astype(np.uint8)
        (root / "maps").mkdir(exist_ok=True)
        Image.fromarray(labels).save(root / "maps" / f"{name}_labelIds.png")
    return root


def perfect(name):
    return found(tiny_streets.boxes(*objects_of(name, *LABELS[name])))


def cityscapes(streets, predictions, labelled=NAMES, **options):
    options["data_dir"] = streets
    with official.of_dataset("cityscapes", labelled, **options) as benchmark:
        for name in NAMES:
            labels = np.zeros(tiny_streets.SIZE) if name in labelled else None
            benchmark.add(example(name, labels), predictions[name])
        return benchmark.finish()


def test_cityscapes_by_semantic_maps(streets):
    predictions = {name: perfect(name) for name in NAMES}
    values = cityscapes(streets, predictions, semantic_dir=streets / "maps")
    assert values["ap"] == values["ap50"] == values["ap_bicycle"] == 100
    assert values["ap50m"] is None


def test_cityscapes_by_the_networks_own_classes(streets):
    """`Found` with the pre-processing network's probabilities."""
    predictions = {}
    for name in NAMES:
        semantic = np.zeros((*tiny_streets.SIZE, 9), np.float32)
        semantic[..., 0] = 1
        for label, channel in (("person", 1), ("car", 3), ("bus", 5), ("bicycle", 8)):
            mask = tiny_streets.boxes(*objects_of(name, label)) > 0
            semantic[mask] = np.eye(9)[channel]
        predictions[name] = perfect(name)._replace(semantic=semantic)
    assert cityscapes(streets, predictions)["ap"] == 100


@pytest.mark.parametrize("ending", ["", ".zip"])
def test_cityscapes_submission(streets, tmp_path, ending):
    path = tmp_path / f"results{ending}"
    predictions = {name: perfect(name) for name in NAMES}
    options = {"semantic_dir": streets / "maps", "submission": path}
    assert cityscapes(streets, predictions, **options)["ap"] == 100
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    if ending:
        with zipfile.ZipFile(path) as file:
            files = file.namelist()
    else:
        files = [str(p.relative_to(path)) for p in path.rglob("*")]
    assert sum(name.endswith(".txt") for name in files) == 3
    assert sum(name.endswith(".png") for name in files) == 5


def test_cityscapes_without_labels(streets, tmp_path):
    """The test split: a submission and no score."""
    options = {"semantic_dir": streets / "maps", "submission": tmp_path / "results"}
    predictions = {name: perfect(name) for name in NAMES}
    assert cityscapes(streets, predictions, labelled=(), **options) == {}
    assert len(list((tmp_path / "results").glob("*.txt"))) == 3


def test_a_missing_map_is_told_before_the_first_image(streets):
    with pytest.raises(UserError, match="berlin_000000_000019 needs one semantic map"):
        official.of_dataset(
            "cityscapes",
            NAMES,
            unlabelled=["berlin_000000_000019"],
            data_dir=streets,
            semantic_dir=streets / "maps",
        )


def test_cityscapes_without_classes(streets, tmp_path, caplog):
    predictions = {name: perfect(name) for name in NAMES}
    assert cityscapes(streets, predictions) == {}
    assert "No average precision: it needs the class of every object" in caplog.text
    with pytest.raises(UserError, match="--semantic-dir"):
        cityscapes(streets, predictions, submission=tmp_path / "results")
    assert not list(tmp_path.iterdir())


def test_cityscapes_distances_are_taken_where_they_are(tmp_path):
    root = tmp_path / "cityscapes"
    tiny_streets.make(root)
    (person,) = objects_of(BUSY, "person")
    tiny_streets.add_distances(root, {BUSY: {person: 256 * 20 + 1}})  # 20 m
    semantic = root / "maps"
    semantic.mkdir()
    for name in NAMES:
        labels = np.zeros(tiny_streets.SIZE, np.uint8)
        for label, number in (("person", 24), ("car", 26), ("bus", 28)):
            labels[tiny_streets.boxes(*objects_of(name, label)) > 0] = number
        Image.fromarray(labels).save(semantic / f"{name}.png")
    predictions = {name: perfect(name) for name in NAMES}
    values = cityscapes(root, predictions, semantic_dir=semantic)
    assert values["ap50m"] == values["ap100m"] == 100
    # The bicycle has no class in these maps: nobody found it.
    assert values["ap_bicycle"] == 0
    assert values["ap"] == pytest.approx(75)
