"""The picture of a training."""

import cv2
import pytest

from keras_recattend.history import last_scores, plot_history, stage_ends
from keras_recattend.run_folder import RunError

HISTORY = """stage,epoch,step,minutes,loss,val_loss,sbd,abs_dic
box,1,50,0.5,9.0,,,
box,2,100,1.0,5.0,6.0,,
own_canvases,1,25,2.0,3.0,,,
own_canvases,2,50,4.0,2.0,2.5,71.5,1.5
"""


@pytest.fixture
def history(tmp_path):
    path = tmp_path / "history.csv"
    path.write_text(HISTORY)
    return path


def panels(path):
    """The picture's three panels, each [H, W, 3]."""
    picture = cv2.imread(str(path))
    width = picture.shape[1] // 3
    return [picture[:, i * width : (i + 1) * width] for i in range(3)]


def ink(panel):
    """Pixels in the first curve's blue."""
    blue, green, red = (panel[..., i].astype(int) for i in range(3))
    return int(((blue - red > 100) & (green > 60)).sum())


def test_three_panels_with_curves(history, tmp_path):
    plot_history(history, tmp_path / "history.png")
    assert all(ink(panel) > 0 for panel in panels(tmp_path / "history.png"))


def test_without_scores_their_panels_are_empty(history, tmp_path):
    history.write_text("".join(HISTORY.splitlines(keepends=True)[:3]))
    plot_history(history, tmp_path / "history.png")
    loss, sbd, count = panels(tmp_path / "history.png")
    assert ink(loss) > 0
    assert ink(sbd) == ink(count) == 0


def test_bad_input(history, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"history\.csv"):
        plot_history(tmp_path / "none.csv", tmp_path / "a.png")
    with pytest.raises(ValueError, match="is a PNG"):
        plot_history(history, tmp_path / "a.pdf")
    history.write_text("stage,epoch\nbox,1\n")
    with pytest.raises(ValueError, match="no column or no row of minutes, loss"):
        plot_history(history, tmp_path / "a.png")
    history.write_text(HISTORY.replace("4.0", "long"))
    with pytest.raises(ValueError, match="line 5: minutes must be a number"):
        plot_history(history, tmp_path / "a.png")


def test_steps_and_minutes_of_the_stages(history):
    assert stage_ends(history) == [(100, 1.0), (50, 4.0)]


def test_scores_of_the_last_epoch(history):
    assert last_scores(history) == {"sbd": 71.5, "abs_dic": 1.5}
    history.write_text("".join(HISTORY.splitlines(keepends=True)[:4]))
    assert last_scores(history) is None


@pytest.mark.parametrize("read", [stage_ends, last_scores])
def test_a_history_that_is_not_there(tmp_path, read):
    with pytest.raises(RunError, match=r"history\.csv cannot be read"):
        read(tmp_path / "history.csv")


def test_a_history_without_an_epoch(history):
    history.write_text(HISTORY.splitlines()[0] + "\n")
    with pytest.raises(RunError, match=r"history\.csv cannot be read"):
        last_scores(history)
