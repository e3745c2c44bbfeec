"""`train.py` with a data set's own options."""

import importlib
import json
import logging
import sys

import numpy as np
import pytest
import tiny
from eager import eagerly
from PIL import Image
from pycocotools import mask as coco_mask

from datasets import catalog, feed
from datasets.manifest import Manifest
from keras_recattend import epoch_callbacks, memory, presets, reporting
from keras_recattend.command_line import run_command
from keras_recattend.run_folder import RunFolder

pytestmark = pytest.mark.filterwarnings(
    "ignore:Even though the .*run_functions_eagerly"
)
ZEBRA, HORSE = 24, 19
# Of the last image: one more than the tiny preset has outputs for.
COUNTS = (1, 2, 3, 2, tiny.SLOTS + 1)
OWN = ("--dataset", "folder", "--data-dir", "own", "--preset", "tiny")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(presets.PRESETS, "tiny", lambda: tiny.config(stages=["box"]))


@pytest.fixture
def eager():
    with eagerly():
        yield


def bars(count, left=4):
    """A label map of so many objects, one below the other."""
    labels = np.zeros((40, 44), np.uint8)
    for k in range(count):
        labels[8 * k + 2 : 8 * k + 8, left:30] = k + 1
    return labels


def write_own(folder, counts):
    """Make a data set for `OWN` in `folder`/own, of {name: number of objects}."""
    for name in ("images", "labels"):
        (folder / "own" / name).mkdir(parents=True)
    for i, (name, count) in enumerate(counts.items()):
        image = Image.new("RGB", (44, 40), (20 * i, 9, 9))
        image.save(folder / "own" / "images" / f"{name}.jpg")
        Image.fromarray(bars(count)).save(folder / "own" / "labels" / f"{name}.png")


@pytest.fixture(scope="module")
def coco(tmp_path_factory):
    """Images 0 to 4 with `COUNTS` zebras, the last image with one horse as well."""
    root = tmp_path_factory.mktemp("coco")
    for name in ("annotations", "val2017"):
        (root / name).mkdir()
    images, annotations = [], []
    for i, count in enumerate(COUNTS):
        labels = bars(count, left=4 + 3 * i)
        picture = np.random.default_rng(i).integers(0, 90, (40, 44, 3)) + 40
        picture[labels > 0] += 90
        name = f"{i:012d}.png"
        Image.fromarray(picture.astype(np.uint8)).save(root / "val2017" / name)
        images.append({"id": i, "file_name": name, "height": 40, "width": 44})
        for k in range(count):
            rle = coco_mask.encode(np.asfortranarray(labels == k + 1).astype(np.uint8))
            last = (i, k) == (len(COUNTS) - 1, 0)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": i,
                    "category_id": HORSE if last else ZEBRA,
                    "segmentation": rle | {"counts": rle["counts"].decode()},
                    "iscrowd": 0,
                }
            )
    values = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": HORSE, "name": "horse"}, {"id": ZEBRA, "name": "zebra"}],
    }
    path = root / "annotations" / "instances_val2017.json"
    path.write_text(json.dumps(values))
    return root


def train(*arguments):
    """`train.py` in this process; returns its exit status."""
    return call("train", *arguments)


def evaluate(*arguments):
    """`evaluate.py` in this process; returns its exit status."""
    return call("evaluate", *arguments)


def call(program, *arguments):
    old, sys.argv = sys.argv, [f"{program}.py", *map(str, arguments)]
    try:
        run_command(importlib.import_module(program).main)
    except SystemExit as end:
        return end.code
    finally:
        sys.argv = old
    return 0


def test_a_category_is_kept_for_the_run(coco, tmp_path, caplog):
    options = ("--dataset", "coco", "--data-dir", coco, "--preset", "tiny")
    chosen = ("--category", "Zebra,horse", "--run-dir", "run", "--quiet")
    assert train(*options, *chosen, "--max-steps", 1) == 0
    about = json.loads((tmp_path / "run" / "config.json").read_text())
    assert about["options"]["category"] == "Zebra,horse"
    (records,) = (tmp_path / "records").iterdir()
    assert Manifest.load(records).source["options"] == {"category": "horse,zebra"}
    assert (
        "1 of 5 images have more than the preset's 3 objects (as 000000000004; the "
        "most are 4): the largest are kept" in caplog.text
    )
    again = ("--run-dir", "run", "--resume", "--category", "horse", "--quiet")
    assert train(*again) == 0
    assert "--category horse is not used: the run goes on with Zebra" in caplog.text
    assert list((tmp_path / "records").iterdir()) == [records]


def test_a_coco_file_of_ones_own(coco, tmp_path, eager):
    """Trained, scored and gone on with, without naming the files again."""
    file = coco / "annotations" / "instances_val2017.json"
    options = ("--dataset", "coco", "--annotations", file, "--images", coco)
    chosen = ("--preset", "tiny", "--run-dir", "run", "--quiet", "--max-steps", 1)
    assert train(*options, *chosen, "--min-area", 30) == 0
    (records,) = (tmp_path / "records").iterdir()
    manifest = Manifest.load(records)
    assert manifest.dataset == "own_coco"
    assert (manifest.min_area, manifest.max_objects) == (30, tiny.SLOTS + 1)
    assert train("--run-dir", "run", "--resume", "--quiet") == 0
    assert evaluate("--run", "run", "--split", "val") == 0
    scores = json.loads((tmp_path / "run" / "val" / "metrics.json").read_text())
    assert scores["n_images"] == 1  # a fifth of five


def test_some_images_are_scored_while_it_trains_and_all_in_the_end(
    coco, tmp_path, caplog, monkeypatch, eager
):
    one_stage = tiny.config({"steps": 1}, stages=["segmentation"])
    monkeypatch.setitem(presets.PRESETS, "tiny", lambda: one_stage)
    watched = []

    def counted(predictor, examples):
        watched.append(len(examples))
        return reporting.score_examples(predictor, examples)

    monkeypatch.setattr(epoch_callbacks, "score_examples", counted)
    options = ("--dataset", "coco", "--data-dir", coco, "--preset", "tiny")
    chosen = ("--val-fraction", "0.4", "--run-dir", "run", "--quiet")
    assert train(*options, *chosen, "--val-images", -1) == 2
    with caplog.at_level(logging.INFO):
        assert train(*options, *chosen, "--val-images", 1) == 0
    assert "1 of the images that validate are scored while it trains" in caplog.text
    assert watched == [1]
    scores = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert scores["n_images"] == 2


def test_more_outputs_than_the_preset_has(tmp_path, caplog, eager):
    write_own(tmp_path, {str(i): count for i, count in enumerate(COUNTS)})
    run = ("--run-dir", "run", "--quiet", "--max-steps", 1)
    with caplog.at_level(logging.INFO):
        assert train(*OWN, *run, "--max-instances", 4) == 0
    assert "objects an image: 1 to 4, median 2, 12 in all" in caplog.text
    assert "the largest are kept" not in caplog.text
    about = json.loads((tmp_path / "run" / "config.json").read_text())
    assert about["options"]["max_instances"] == 4
    config, _ = RunFolder(tmp_path / "run").read()
    assert config.max_instances == 4
    assert train("--run-dir", "run", "--resume", "--max-instances", 9) == 0
    assert "--max-instances 9 is not used: the run goes on with 4" in caplog.text
    with caplog.at_level(logging.INFO):
        assert train(*OWN, "--run-dir", "other", *run[2:]) == 0
    assert "max_instances is 4, not the preset's 3" in caplog.text
    config, _ = RunFolder(tmp_path / "other").read()
    assert config.max_instances == 4


def test_memory_must_suffice_for_the_fullest_image(tmp_path, monkeypatch, capfd):
    """The preset's own outputs would fit; a run that cannot be trained is not begun."""

    def needed(config, name):
        return 1e18 if config.max_instances > tiny.SLOTS else 1.0

    monkeypatch.setattr(memory, "has_gpu", lambda: False)
    monkeypatch.setattr(memory, "stage_bytes", needed)
    write_own(tmp_path, {"a": 1, "b": tiny.SLOTS + 1})
    assert train(*OWN, "--run-dir", "run") == 2
    assert "Stage box with batches of 2 images" in capfd.readouterr().err
    assert not (tmp_path / "run").exists()


def test_photographs_of_one_plant_stay_on_one_side(tmp_path, eager):
    names = [f"{plant}_day{day}" for plant in "abc" for day in range(3)]
    write_own(tmp_path, dict.fromkeys(names, 2))
    divided = ("--group", "(.+)_day", "--val-fraction", "0.3")
    assert train(*OWN, *divided, "--run-dir", "run", "--max-steps", 1) == 0
    split = json.loads((tmp_path / "run" / "split.json").read_text())
    assert split["made_with"]["group"] == "(.+)_day"
    training, validating = (
        {name.split("_")[0] for name in split[kind]} for kind in ("train", "val")
    )
    assert (len(split["train"]), len(split["val"])) == (6, 3)
    assert (len(training), len(validating)) == (2, 1)
    assert not training & validating


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--category", "zebra"], ["leaves", "'category'"]),
        (["--dataset", "cvppp", "--category", "x"], ["cvppp", "'category'"]),
        (["--dataset", "coco", "--category", "zebar"], ["'zebar'", "'zebra'"]),
        (["--dataset", "coco", "--subset", "A1"], ["coco", "'subset'"]),
        (["--max-instances", "0"], ["max_instances", "0"]),
        (["--image-size", "big"], ["--image-size", "HEIGHTxWIDTH", "'big'"]),
        (["--image-size", "64x65"], ["image_size", "(64, 65)", "multiple of"]),
        (["--min-area", "-1"], ["-1"]),
        (["--dataset", "folder"], ["--data-dir", "labels"]),
    ],
)
def test_options_of_other_data_sets(coco, tmp_path, capfd, arguments, words):
    if "coco" in arguments:
        arguments = [*arguments, "--data-dir", coco, "--preset", "tiny"]
    assert train(*arguments) == 2
    message = capfd.readouterr().err
    assert "Traceback" not in message
    for word in words:
        assert word in message
    assert not list(tmp_path.iterdir())


def test_rendered_plants_beside_the_images(coco, tmp_path, monkeypatch, eager):
    """A run and its continuation make them once, and read them."""
    monkeypatch.setattr(catalog, "COMPANIONS", 2)
    monkeypatch.setitem(
        presets.PRESETS,
        "tiny",
        lambda: tiny.config(stages=["box"], augmentation={"rendered": 0.5}),
    )
    shown = []
    stream = feed.pipeline.training_stream

    def spying(*arguments, **options):
        shown.append(options["rendered"])
        return stream(*arguments, **options)

    monkeypatch.setattr(feed.pipeline, "training_stream", spying)
    options = ("--dataset", "coco", "--data-dir", coco, "--preset", "tiny")
    chosen = ("--category", "zebra", "--run-dir", "run", "--quiet", "--max-steps", 1)
    assert train(*options, *chosen) == 0
    kinds = sorted(p.name.split("-")[0] for p in (tmp_path / "records").iterdir())
    assert kinds == ["coco", "leaves"]
    assert [manifest.dataset for manifest in shown] == ["leaves"]
    assert len(shown[0].ids) == 2
    split = json.loads((tmp_path / "run" / "split.json").read_text())
    assert not {*split["train"], *split["val"]} & {*shown[0].ids}
    assert train("--run-dir", "run", "--resume", "--quiet") == 0
