"""`evaluate.py` on miniature benchmarks, with the truth in place of a network's finds.

What is tested is the way between: names, files, classes, categories, splits.
"""

import importlib
import json
import sys
import zipfile

import numpy as np
import pytest
import tiny
import tiny_streets
from PIL import Image
from pycocotools.coco import COCO

from datasets import catalog, records, scored
from keras_recattend import reporting
from keras_recattend.command_line import run_command
from keras_recattend.metrics.report import read_csv
from keras_recattend.model import RecurrentAttention
from keras_recattend.postprocess import Found
from keras_recattend.run_folder import RunFolder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder of a network that was never trained."""
    folder = RunFolder(tmp_path_factory.mktemp("runs") / "run")
    config = tiny.config(min_object_area=1)
    folder.create(config, options={"dataset": "leaves"})
    model = RecurrentAttention(config)
    folder.save_weights(model, folder.best_weights)
    return folder.path


@pytest.fixture
def truth_is_found(monkeypatch):
    """Predictions are the records' own labels, by the image."""
    table = {}

    class Oracle:
        batch_size = 2

        def __init__(self, model):
            pass

        def __call__(self, images):
            return [self.found(table[image.tobytes()]) for image in images]

        @staticmethod
        def found(labels):
            count = int(labels.max(initial=0))
            return Found(labels, np.ones(count, np.float32), np.zeros((count, 4)))

    def learn(manifest, labels=None):
        for example in records.examples(manifest):
            known = example.labels if labels is None else labels
            table[example.image.tobytes()] = known

    monkeypatch.setattr(reporting, "Predictor", Oracle)
    return learn


def evaluate(run, out, *arguments):
    options = ["evaluate.py", "--run", run, "--out", out, *arguments]
    old, sys.argv = sys.argv, [str(option) for option in options]
    try:
        run_command(importlib.import_module("evaluate").main)
    finally:
        sys.argv = old
    return json.loads((out / "metrics.json").read_text())


# -- Cityscapes --------------------------------------------------------------------


@pytest.fixture
def streets(tmp_path):
    """Three labelled streets and one of the test split; maps made from the labels."""
    root = tmp_path / "cityscapes"
    files = tiny_streets.make(root)
    rng = np.random.default_rng(0)
    for split, name in [("val", n) for n in files] + [("test", "berlin_000000_000019")]:
        folder = root / "leftImg8bit" / split / name.split("_")[0]
        folder.mkdir(parents=True, exist_ok=True)
        image = rng.integers(0, 255, (*tiny_streets.SIZE, 3), np.uint8)
        Image.fromarray(image).save(folder / f"{name}_leftImg8bit.png")
        labels = np.zeros(tiny_streets.SIZE, np.uint8)
        if name in files:
            with Image.open(files[name]) as ids:
                labels = np.array(ids)
                labels = np.uint8(np.where(labels >= 1000, labels // 1000, labels))
        (tmp_path / "maps").mkdir(exist_ok=True)
        Image.fromarray(labels).save(tmp_path / "maps" / f"{name}_labelIds.png")
    return root


def test_cityscapes(run, streets, tmp_path, truth_is_found):
    options = {"records_dir": tmp_path / "records", "min_area": 1, "progress": False}
    truth_is_found(catalog.prepare("cityscapes", streets, **options))
    arguments = ["--dataset", "cityscapes", "--data-dir", streets]
    arguments += ["--records-dir", tmp_path / "records"]
    arguments += ["--semantic-dir", tmp_path / "maps"]
    values = evaluate(run, tmp_path / "out", *arguments, "--split", "all")
    assert values["n_images"] == 3
    assert values["semantic_dir"] == str(tmp_path / "maps")
    assert values["ap"] == values["ap50"] == values["ap_person"] == 100
    assert values["ap50m"] is values["ap_train"] is None
    assert values["sbd"]["mean"] == 100


def test_cityscapes_test_images(run, streets, tmp_path, truth_is_found):
    options = {"records_dir": tmp_path / "records", "min_area": 1, "progress": False}
    manifest = catalog.prepare("cityscapes", streets, **options)
    truth_is_found(manifest, np.ones(tiny_streets.SIZE, np.uint16))
    file = tmp_path / "results.zip"
    arguments = ["--dataset", "cityscapes", "--data-dir", streets]
    arguments += ["--records-dir", tmp_path / "records", "--submission", file]
    arguments += ["--semantic-dir", tmp_path / "maps", "--split", "test"]
    values = evaluate(run, tmp_path / "out", *arguments)
    assert values["n_images"] == 0
    assert values["n_images_without_labels"] == 1
    assert "ap" not in values
    with zipfile.ZipFile(file) as packed:
        # The only object lies on nothing that has a class.
        assert packed.read("berlin_000000_000019_pred.txt") == b""


# -- COCO --------------------------------------------------------------------------


@pytest.fixture
def photographs(tmp_path):
    """Zebras in two of three images, a horse in the third, a crowd in the first."""
    root = tmp_path / "coco"
    (root / "val2017").mkdir(parents=True)
    (root / "annotations").mkdir()
    boxes = [
        (5, 24, (2, 2, 20, 20), 0),
        (5, 24, (24, 10, 38, 50), 0),
        (5, 24, (0, 30, 20, 60), 1),
        (6, 19, (5, 5, 30, 30), 0),
        (7, 24, (8, 8, 30, 40), 0),
    ]
    annotations = []
    for number, (image, category, (y0, x0, y1, x1), crowd) in enumerate(boxes, 1):
        shape = [[x0, y0, x1, y0, x1, y1, x0, y1]]
        if crowd:
            mask = np.zeros((40, 60), int)
            mask[y0:y1, x0:x1] = 1
            edges = np.flatnonzero(np.diff(np.pad(mask.ravel("F"), 1)))
            counts = np.diff([0, *edges, mask.size]).tolist()
            shape = {"size": [40, 60], "counts": counts}
        annotations.append(
            {
                "id": number,
                "image_id": image,
                "category_id": category,
                "segmentation": shape,
                "area": (y1 - y0) * (x1 - x0),
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "iscrowd": crowd,
            }
        )
    rng = np.random.default_rng(0)
    images = []
    for i in (5, 6, 7):
        name = f"{i:012d}.jpg"
        image = rng.integers(0, 255, (40, 60, 3), np.uint8)
        Image.fromarray(image).save(root / "val2017" / name)
        images.append({"id": i, "file_name": name, "height": 40, "width": 60})
    content = {
        "images": images,
        "annotations": annotations,
        "categories": [
            {"id": 19, "name": "horse", "supercategory": "animal"},
            {"id": 24, "name": "zebra", "supercategory": "animal"},
        ],
    }
    file = root / "annotations" / "instances_val2017.json"
    file.write_text(json.dumps(content))
    return root


@pytest.mark.parametrize(
    ("category", "images", "agnostic", "number"),
    [("zebra", 2, False, 24), ("horse,zebra", 3, True, 19)],
)
def test_coco(
    run, photographs, tmp_path, truth_is_found, category, images, agnostic, number
):
    options = {"records_dir": tmp_path / "records", "min_area": 1, "progress": False}
    truth_is_found(catalog.prepare("coco", photographs, category=category, **options))
    file = tmp_path / "results.json"
    arguments = ["--dataset", "coco", "--data-dir", photographs, "--split", "all"]
    arguments += ["--records-dir", tmp_path / "records", "--category", category]
    values = evaluate(run, tmp_path / "out", *arguments, "--submission", file)
    assert values["n_images"] == images
    assert values["ap"] == values["ap50"] == values["ap75"] == 100
    assert values["ap_class_agnostic"] is agnostic
    truth = COCO(str(photographs / "annotations" / "instances_val2017.json"))
    results = truth.loadRes(str(file))
    assert {r["category_id"] for r in results.anns.values()} == {number}
    assert len(results.anns) == {24: 3, 19: 4}[number]


def test_coco_images_without_an_object_count(run, photographs, tmp_path, monkeypatch):
    """What is found on them is wrong, as the benchmark has it; test images are free."""

    with Image.open(photographs / "val2017" / "000000000006.jpg") as file:
        horse = np.array(file)

    class One:
        """Finds the first zebra of image 5 in every image; is surest of the horse."""

        batch_size = 2

        def __init__(self, model):
            pass

        def __call__(self, images):
            labels = np.zeros((40, 60), np.uint16)
            labels[2:20, 2:20] = 1
            scores = [1.0 if np.array_equal(i, horse) else 0.5 for i in images]
            return [
                Found(labels, np.array([score], np.float32), np.zeros((1, 4)))
                for score in scores
            ]

    monkeypatch.setattr(reporting, "Predictor", One)
    arguments = ["--dataset", "coco", "--data-dir", photographs, "--split", "all"]
    arguments += ["--category", "zebra"]
    some = evaluate(
        run, tmp_path / "some", *arguments, "--records-dir", tmp_path / "r1"
    )
    assert some["n_images"] == 2
    (photographs / "test2017").mkdir()
    image = np.zeros((40, 60, 3), np.uint8)
    Image.fromarray(image).save(photographs / "test2017" / "000000000009.png")
    entry = {"id": 9, "file_name": "000000000009.png", "height": 40, "width": 60}
    listed = photographs / "annotations" / "image_info_test-dev2017.json"
    listed.write_text(json.dumps({"images": [entry], "categories": []}))
    arguments += ["--all-images", "--records-dir", tmp_path / "r2"]
    every = evaluate(run, tmp_path / "every", *arguments)
    assert every["n_images"] == 3
    # One of three zebras is found: by the first find, then by the second. 34 of 101
    # places lie up to a recall of 1/3.
    np.testing.assert_allclose(some["ap50"], 100 * 34 / 101)
    np.testing.assert_allclose(every["ap50"], 100 * 34 / 101 / 2)
    file = tmp_path / "test.json"
    arguments[arguments.index("all")] = "test"
    values = evaluate(run, tmp_path / "test", *arguments, "--submission", file)
    assert values["n_images"] == 0
    (result,) = json.loads(file.read_text())
    assert (result["image_id"], result["category_id"]) == (9, 24)


def own_coco(folder, name, count):
    """A picture `name` with so many squares, and its file: (folder, file)."""
    folder.mkdir()
    Image.new("RGB", (60, 40), (count, 0, 0)).save(folder / name)
    values = {
        "images": [{"id": 1, "file_name": name}],
        "annotations": [
            {
                "image_id": 1,
                "category_id": 1,
                "segmentation": [[x, 5, x + 8, 5, x + 8, 12, x, 12]],
            }
            for x in range(2, 2 + 12 * count, 12)
        ],
        "categories": [{"id": 1, "name": "leaf"}],
    }
    (folder / "export.json").write_text(json.dumps(values))
    return folder, folder / "export.json"


def test_other_images_than_those_of_the_runs_own_coco_file(
    tmp_path, truth_is_found, capfd, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    images, file = own_coco(tmp_path / "trained", "a.png", 3)
    others, their_file = own_coco(tmp_path / "others", "a.png", 1)
    for folder, annotations in ((images, file), (others, their_file)):
        truth_is_found(catalog.prepare("coco", folder, annotations=annotations))
    run = RunFolder(tmp_path / "run")
    config = tiny.config(min_object_area=25)
    own = {"dataset": "coco", "annotations": str(file), "images": str(images)}
    run.create(config, options=own)
    run.save_weights(RecurrentAttention(config), run.best_weights)

    def counts(out, *arguments):
        evaluate(run.path, tmp_path / out, "--split", "all", *arguments)
        rows = read_csv(tmp_path / out / "images.csv")
        return [row["true_count"] for row in rows]

    assert counts("same") == [3]
    with pytest.raises(SystemExit):
        counts("lost", "--data-dir", others)
    assert "Give theirs with --annotations" in capfd.readouterr().err
    assert counts("other", "--data-dir", others, "--annotations", their_file) == [1]
    assert counts("images", "--images", others, "--annotations", their_file) == [1]


def run_on(folder, split, **options):
    """A run folder of a network that was never trained, with its options and split."""
    folder = RunFolder(folder)
    config = tiny.config(min_object_area=1)
    folder.create(config, options=options)
    folder.save_weights(RecurrentAttention(config), folder.best_weights)
    names = sorted({*split["train"], *split["val"]})
    (folder.path / "split.json").write_text(json.dumps({"all": names, **split}))
    return folder.path


def written(out):
    """Names of the images that were scored."""
    return sorted(path.stem for path in (out / "labels").iterdir())


ZEBRAS = {"train": ["000000000005"], "val": ["000000000007"], "test": []}


@pytest.mark.parametrize("where", ["given", "the run's", "none"])
def test_coco_validation_images_that_training_left_out(
    photographs, tmp_path, monkeypatch, where
):
    """`--split val --all-images` adds those without an object, and none of training.

    They are no part of the run's records, which stay as they are.
    """
    monkeypatch.chdir(tmp_path)
    options = {"dataset": "coco", "category": "zebra", "data_dir": str(photographs)}
    arguments = ["--split", "val", "--all-images"]
    if where == "given":
        arguments += ["--records-dir", tmp_path / "r"]
    elif where == "the run's":
        records_dir = tmp_path / "records"
        catalog.prepare("coco", photographs, records_dir, 1, category="zebra")
        options["records_dir"] = str(records_dir)
    run = run_on(tmp_path / "run", ZEBRAS, **options)
    assert evaluate(run, tmp_path / "out", *arguments)["n_images"] == 2
    assert written(tmp_path / "out") == [f"{i:012d}" for i in (6, 7)]


def test_the_runs_records_serve_where_the_raw_files_are_gone(
    photographs, tmp_path, caplog
):
    records_dir = tmp_path / "records"
    catalog.prepare("coco", photographs, records_dir, 1, category="zebra")
    options = {"dataset": "coco", "category": "zebra", "data_dir": str(photographs)}
    options["records_dir"] = str(records_dir)
    run = run_on(tmp_path / "run", ZEBRAS, **options)
    photographs.rename(tmp_path / "elsewhere")
    # The same category in other words.
    evaluate(run, tmp_path / "out", "--category", " zebra", "--no-labels")
    # And what is meant where nothing is said.
    options = {"dataset": "cvppp", "data_dir": "/gone", "records_dir": "r"}
    assert scored._adds_nothing({"subset": "A1"}, options)
    assert not scored._adds_nothing({"subset": "A4"}, options)
    assert "the records alone are used" in caplog.text
    evaluate(run, tmp_path / "again", "--records-dir", records_dir)
    assert written(tmp_path / "again") == ZEBRAS["val"]


@pytest.mark.parametrize("name", [[], ["--dataset", "own_coco"]])
@pytest.mark.parametrize("gone", [False, True])
def test_the_split_of_a_run_on_ones_own_coco_file(tmp_path, name, gone):
    """Records without their files are `own_coco`; the run was called `coco`."""
    images, file = own_coco(tmp_path / "own", "a.png", 3)
    Image.new("RGB", (60, 40), "blue").save(images / "b.png")
    values = json.loads(file.read_text())
    values["images"].append({"id": 2, "file_name": "b.png"})
    values["annotations"].append(values["annotations"][0] | {"image_id": 2})
    file.write_text(json.dumps(values))
    records_dir = tmp_path / "records"
    catalog.prepare("coco", images, records_dir, 1, annotations=file)
    options = {"dataset": "coco", "annotations": str(file), "images": str(images)}
    for train, val in ("ab", "ba"):
        split = {"train": [train], "val": [val], "test": []}
        run = run_on(tmp_path / val, split, **options, records_dir=str(records_dir))
        if gone and images.exists():
            images.rename(tmp_path / "elsewhere")
        out = tmp_path / f"scores-{val}"
        evaluate(run, out, *name, "--records-dir", records_dir)
        assert written(out) == [val]


@pytest.mark.parametrize("labelled", [True, False])
def test_a_folder_of_nothing_but_test_images(run, tmp_path, monkeypatch, labelled):
    """There is nothing to train on, and no need of it."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "held-out" / "test"
    for part in ("images", "labels")[: 1 + labelled]:
        (folder / part).mkdir(parents=True)
        Image.new("L", (60, 40)).save(folder / part / "a.png")
    arguments = ["--dataset", "folder", "--data-dir", folder.parent, "--split", "test"]
    values = evaluate(run, tmp_path / "out", *arguments)
    assert written(tmp_path / "out") == ["a"]
    assert values["n_images"] == int(labelled)
