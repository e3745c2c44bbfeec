"""What is said of a data set."""

import pytest

from datasets.description import MOST_INSTANCES, advice, room_for


@pytest.mark.parametrize(
    ("dataset", "most", "room"),
    [
        ("folder", 7, 20),
        ("folder", 34, 34),
        ("labelme", 20, 20),
        ("own_coco", 1000, MOST_INSTANCES),
        # A benchmark's preset has as many as its data wants.
        ("coco", 34, 20),
        ("cvppp", 21, 20),
    ],
)
def test_room_for_the_objects_of_own_data(dataset, most, room):
    assert room_for(dataset, most, outputs=20) == room


def test_advice():
    assert advice(0, 9, 20, "leaves", 20).endswith("up to 20 objects: enough for all.")
    text = advice(2, 9, 130, "leaves", 100)
    assert "2 of 9 images have more, of which training keeps the largest 100" in text
    assert "--max-instances 130 takes all" in text
