"""Evaluation on disk: numbers, rows, label maps and the picture."""

import errno
import json
import os
import types

import cv2
import numpy as np
import pytest
import tiny

from keras_recattend import reporting
from keras_recattend.errors import UserError
from keras_recattend.metrics.report import METRICS, read_csv
from keras_recattend.official import Benchmark
from keras_recattend.postprocess import Found
from keras_recattend.reporting import check_free, evaluate_run, versions

MODEL = types.SimpleNamespace(config=types.SimpleNamespace(name="tiny"))


@pytest.fixture
def answers(monkeypatch):
    """Predictions by the image's first pixel, in place of a model's."""
    table = {}

    class Oracle:
        batch_size = 2

        def __init__(self, model):
            assert model is MODEL

        def __call__(self, images):
            found = []
            for image in images:
                labels = table[image.tobytes()]
                count = int(labels.max(initial=0))
                boxes = np.zeros((count, 4), np.float32)
                found.append(Found(labels, np.ones(count, np.float32), boxes))
            return found

    monkeypatch.setattr(reporting, "Predictor", Oracle)
    return table


@pytest.fixture
def examples(answers):
    """Three images: found exactly, one object of two missed, nothing found."""
    made = tiny.examples(((32, 32), (40, 48), (36, 30)))
    perfect, half, nothing = (example.labels.copy() for example in made)
    half[half == 2] = 0
    nothing[:] = 0
    for example, labels in zip(made, (perfect, half, nothing), strict=True):
        answers[example.image.tobytes()] = labels
    return made


def test_numbers_and_rows(examples, tmp_path):
    summary = evaluate_run(MODEL, examples, tmp_path / "out", "val")
    written = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert written["split"] == "val"
    assert written["preset"] == "tiny"
    assert {k: written[k] for k in summary} == summary
    assert written["n_images"] == 3
    for name in METRICS:
        assert set(written[name]) == {"mean", "std"}
    # SBD is 100, 50 and 0; |DiC| 0, 1 and 2.
    assert written["sbd"]["mean"] == pytest.approx(50.0)
    assert written["sbd"]["std"] == pytest.approx(np.std([100, 50, 0]))
    assert written["abs_dic"]["mean"] == pytest.approx(1.0)
    assert written["dic"]["mean"] == pytest.approx(-1.0)
    rows = read_csv(tmp_path / "out" / "images.csv")
    assert [row["name"] for row in rows] == ["e0", "e1", "e2"]
    assert [row["predicted_count"] for row in rows] == [2, 1, 0]


def test_label_maps_are_index_pngs(examples, answers, tmp_path):
    evaluate_run(MODEL, examples, tmp_path, "val", labels=True)
    for example in examples:
        path = tmp_path / "labels" / f"{example.name}.png"
        read = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(read, answers[example.image.tobytes()])
    assert not list(tmp_path.rglob("writing*"))


def test_many_objects_are_written_in_16_bits(examples, answers, tmp_path):
    labels = np.arange(32 * 32, dtype=np.uint16).reshape(32, 32)
    answers[examples[0].image.tobytes()] = labels
    evaluate_run(MODEL, examples[:1], tmp_path, "val", labels=True)
    path = str(tmp_path / "labels" / "e0.png")
    np.testing.assert_array_equal(cv2.imread(path, cv2.IMREAD_UNCHANGED), labels)


def test_label_maps_may_be_left_out(examples, tmp_path):
    evaluate_run(MODEL, examples, tmp_path, "val")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["images.csv", "metrics.json"]


@pytest.mark.parametrize("overlays", [0, 2, 9])
def test_overlays(examples, tmp_path, overlays):
    evaluate_run(MODEL, examples, tmp_path, "val", overlays=overlays)
    path = tmp_path / "overlays.png"
    assert path.exists() == (overlays > 0)
    if overlays:
        assert cv2.imread(str(path)).std() > 1


def test_further_values(examples, tmp_path):
    evaluate_run(MODEL, examples, tmp_path, "val", about={"weights": "best"})
    written = json.loads((tmp_path / "metrics.json").read_text())
    assert written["weights"] == "best"


def test_names_with_folders(examples, tmp_path):
    examples[0].name = "A1/plant001"
    evaluate_run(MODEL, examples, tmp_path, "val", labels=True)
    assert (tmp_path / "labels" / "A1_plant001.png").is_file()
    assert read_csv(tmp_path / "images.csv")[0]["name"] == "A1/plant001"


@pytest.mark.parametrize("name", ["labels", "images.csv", "overlays.png"])
def test_somebodys_files_are_in_the_way(tmp_path, name):
    check_free(tmp_path)
    check_free(tmp_path / "new")
    (tmp_path / name).touch()
    with pytest.raises(UserError, match=rf"has {name} already.*--out"):
        check_free(tmp_path)


def test_a_file_in_place_of_the_folder(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file is a file.*--out"):
        check_free(tmp_path / "file")


@pytest.mark.skipif(os.name != "posix" or os.getuid() == 0, reason="may write anywhere")
def test_a_folder_without_permission(tmp_path):
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(UserError, match=r"closed cannot be written to.*--out"):
        check_free(tmp_path / "closed" / "out" / "val")


def test_a_full_disk(examples, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(reporting, "write_csv", full)
        with pytest.raises(UserError, match=r"No space left.*Make room"):
            evaluate_run(MODEL, examples, tmp_path / "out", "val")
        with pytest.raises(UserError, match=r"No space left.*Go on so\."):
            evaluate_run(MODEL, examples, tmp_path / "run", "val", remedy="Go on so.")
    # The same command goes on.
    check_free(tmp_path / "out")
    evaluate_run(MODEL, examples, tmp_path / "out", "val")


@pytest.mark.usefixtures("answers")
def test_an_error_that_is_not_of_writing_stays_as_it_is(tmp_path):
    def lost():
        raise FileNotFoundError(errno.ENOENT, "No such file", "/records/0.tfrecord")
        yield

    with pytest.raises(FileNotFoundError):
        evaluate_run(MODEL, lost(), tmp_path / "out", "val")


def test_an_evaluation_that_was_interrupted_is_made_again(
    examples, tmp_path, monkeypatch
):
    with monkeypatch.context() as patch:
        patch.setattr(reporting, "write_csv", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            evaluate_run(MODEL, examples, tmp_path, "val", labels=True)
    assert any((tmp_path / "labels").iterdir())
    # Of another split, say: what is there in the end is of one.
    (tmp_path / "labels" / "other.png").touch()
    (tmp_path / "overlays.png").touch()
    check_free(tmp_path)
    evaluate_run(MODEL, examples, tmp_path, "val", labels=True)
    names = {f"{example.name.replace('/', '_')}.png" for example in examples}
    assert {path.name for path in (tmp_path / "labels").iterdir()} == names
    assert not (tmp_path / "overlays.png").exists()
    with pytest.raises(UserError, match="an evaluation already"):
        check_free(tmp_path)
    (tmp_path / "metrics.json").unlink()
    # Nothing says that they may be replaced.
    with pytest.raises(UserError, match="labels"):
        check_free(tmp_path)


# -- images without labels, and benchmarks -----------------------------------------


class Recorded(Benchmark):
    """What a benchmark is given, and whether it was finished and left."""

    def __init__(self, values=None, error=None):
        self.values, self.error = values or {}, error
        self.seen, self.events = [], []

    def add(self, example, found):
        self.seen.append((example.name, found.count))
        if self.error:
            raise self.error

    def finish(self):
        self.events.append("finished")
        return self.values

    def __exit__(self, *_):
        self.events.append("left")


def test_a_benchmark_sees_every_image(examples, tmp_path):
    examples[1].labels = None
    benchmark = Recorded({"ap": 12.5, "ap50": None})
    summary = evaluate_run(
        MODEL, iter(examples), tmp_path, "val", benchmark=benchmark, total=3
    )
    # One of the three has no labels: two are scored, with 2 objects and none found.
    assert [name for name, _ in benchmark.seen] == ["e0", "e1", "e2"]
    assert benchmark.events == ["finished", "left"]
    written = json.loads((tmp_path / "metrics.json").read_text())
    assert written["ap"] == summary["ap"] == 12.5
    assert written["ap50"] is None
    assert written["n_images"] == 2
    assert written["n_images_without_labels"] == 1
    assert written["sbd"]["mean"] == pytest.approx(50.0)
    assert [r["name"] for r in read_csv(tmp_path / "images.csv")] == ["e0", "e2"]


def test_a_benchmark_is_left_when_something_fails(examples, tmp_path):
    benchmark = Recorded(error=UserError("no class"))
    with pytest.raises(UserError, match="no class"):
        evaluate_run(MODEL, examples, tmp_path, "val", benchmark=benchmark)
    assert benchmark.events == ["left"]
    assert not (tmp_path / "metrics.json").exists()


def test_a_split_without_labels(examples, answers, tmp_path, caplog):
    """Label maps and a picture, no scores, and that is said."""
    for example in examples:
        example.labels = None
    with caplog.at_level("INFO"):
        evaluate_run(MODEL, examples, tmp_path, "test", overlays=1, labels=True)
    assert "test: 3 images have no labels, so no scores." in caplog.text
    written = json.loads((tmp_path / "metrics.json").read_text())
    assert written == {
        "n_images": 0,
        "n_images_without_labels": 3,
        "split": "test",
        "preset": "tiny",
    }
    assert not (tmp_path / "images.csv").exists()
    assert cv2.imread(str(tmp_path / "overlays.png")).std() > 1
    for example in examples:
        path = str(tmp_path / "labels" / f"{example.name}.png")
        read = cv2.imread(path, cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(read, answers[example.image.tobytes()])


def test_versions_name_what_matters():
    for word in ("keras_recattend", "tensorflow", "keras", "numpy", "python", "cores"):
        assert word in versions()


def test_large_images_are_scored_in_smaller_batches(examples, answers, monkeypatch):
    sizes = []

    class Counted(reporting.Predictor):
        batch_size = 8

        def __call__(self, images):
            sizes.append(len(images))
            return super().__call__(images)

    # 32 x 32, 40 x 48 and 36 x 30.
    monkeypatch.setattr(reporting, "MOST_PIXELS_A_BATCH", 32 * 32 + 40 * 48)
    scored = list(reporting.score_examples(Counted(MODEL), examples))
    assert sizes == [2, 1]
    assert [example.name for example, *_ in scored] == [e.name for e in examples]
