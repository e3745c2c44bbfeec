"""Tiny plants: files in CVPPP's layout, and records made from arrays."""

import pytest
from PIL import Image
from tiny_plants import blocks, picture, save_palette, source_of

from datasets.example import Example
from datasets.writer import write_records


@pytest.fixture
def plant_folder(tmp_path):
    """`DIR/CVPPP2017_LSC_training/training/A1` with three labelled plants."""
    folder = tmp_path / "cvppp" / "CVPPP2017_LSC_training" / "training" / "A1"
    folder.mkdir(parents=True)
    for number in (1, 2, 5):
        labels = blocks()
        Image.fromarray(picture(labels, number)).save(
            folder / f"plant{number:03d}_rgb.png"
        )
        save_palette(labels, folder / f"plant{number:03d}_label.png")
    return folder


@pytest.fixture(scope="session")
def tiny_records(tmp_path_factory):
    """Seven images of 20 x 16 with 0 to 3 objects each; the manifest."""
    examples = [
        Example(f"image{i}", picture(blocks(count=i % 4), i), blocks(count=i % 4))
        for i in range(7)
    ]
    return write_records(
        source_of(examples), tmp_path_factory.mktemp("tiny") / "records", min_area=1
    )
