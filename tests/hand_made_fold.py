"""What a finished run of a fold leaves, with scores made up."""

from keras_recattend.metrics.report import METRICS, summarise, write_csv, write_json
from keras_recattend.run_folder import RunFolder

# Two stages of 3 and 1.5 minutes: the last row of each counts.
HISTORY = """stage,epoch,step,minutes,sbd,abs_dic
box,1,100,1.0,,
box,2,200,3.0,,
joint,1,5,0.5,40.0,3.0
joint,2,10,1.5,{},{}
"""
SCORES = {"abs_dic": 1.0, "dic": -1.0, "fbd": 90.0, "mucov": 70.0, "true_count": 9.0}


def leave(path, number, sbd, last=(60.0, 2.0), preset="tiny", **scores):
    """Write the files.

    Args:
        number: of the fold; its images are called f1-0, f1-1, ...
        sbd: of every image. last: SBD and |DiC| of the last epoch, or None.
        scores: other metrics, the same for every image.
    """
    folder = RunFolder(path)
    folder.path.mkdir(parents=True, exist_ok=True)
    folder.history.path.write_text(HISTORY.format(*(last or ("", ""))))
    same = dict.fromkeys(METRICS, 0.0) | SCORES | scores
    rows = [
        {"name": f"f{number}-{i}", **same, "sbd": value} for i, value in enumerate(sbd)
    ]
    write_csv(rows, folder.images_file)
    about = {"split": "val", "preset": preset}
    write_json(summarise(rows) | about, folder.metrics_file)
