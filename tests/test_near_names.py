"""What is said of an unknown name."""

from keras_recattend.near_names import near_names


def test_near_names_are_asked_for():
    assert near_names("colour", ["colon", "color", "x"]) == (
        " Did you mean 'color' or 'colon'?"
    )


def test_a_name_with_nothing_near_lists_what_is_known():
    assert near_names("xyz", ["b", "a"]) == " Known: a, b."
