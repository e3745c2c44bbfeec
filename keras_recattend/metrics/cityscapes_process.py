"""The program that `cityscapes.py` runs: cityscapesscripts' instance evaluator.

Reads `request.json` from the current folder and writes `answer.json`. Only a program of
its own may do this: it changes the evaluator's and numpy's global state.
"""

import json
import sys
from pathlib import Path


def main():
    request = json.loads(Path("request.json").read_text())
    evaluator = _imported()
    truth = [_instance_image(Path(path)) for path in request["truth"]]
    args = evaluator.args
    args.predictionPath = request["folder"]
    args.gtInstancesFile = str(Path("instances.json").absolute())
    args.distanceAvailable = bool(request["distances"])
    args.JSONOutput = False
    args.quiet = True
    if request["distances"]:
        _write_instances(evaluator, truth, request["distances"], args.gtInstancesFile)
    # The steps of its evaluateImgLists, but for a file of all matches, which it cannot
    # write since numpy 2.4 counts in integers that JSON does not know.
    evaluator.setInstanceLabels(args)
    instances = evaluator.getGtInstances(truth, args)
    matches = evaluator.matchGtWithPreds(request["results"], truth, instances, args)
    precisions = evaluator.evaluateMatches(matches, args)
    averages = evaluator.computeAverages(precisions, args)
    Path("answer.json").write_text(json.dumps(averages))


def _imported():
    import numpy as np

    # cityscapesscripts 2.3 calls numpy.in1d, which numpy 2.4 no longer has; for the
    # one call that there is, of a whole image, isin does the same.
    if not hasattr(np, "in1d"):
        np.in1d = np.isin
    try:
        from cityscapesscripts.evaluation import evalInstanceLevelSemanticLabeling
    except ImportError as error:
        sys.exit(f"{error}: pip install cityscapesscripts")
    return evalInstanceLevelSemanticLabeling


def _instance_image(path):
    """The truth as an image; drawn here where there are polygons only."""
    if path.suffix != ".json":
        return str(path)
    import numpy as np
    from cityscapesscripts.helpers.annotation import Annotation
    from cityscapesscripts.preparation.json2instanceImg import createInstanceImage
    from PIL import Image

    annotation = Annotation()
    annotation.fromJsonFile(str(path))
    ids = np.uint16(createInstanceImage(annotation, "ids"))
    # As 16 bits: its own program writes 32, which Pillow 13 no longer saves as PNG.
    file = Path(path.name.replace("_polygons.json", "_instanceIds.png")).absolute()
    Image.fromarray(ids).save(file)
    return str(file)


def _write_instances(evaluator, truth, distances, path):
    """The evaluator's list of true objects, with distances that it cannot know."""
    instances = evaluator.instances2dict(truth, False)
    for file, known in zip(truth, distances, strict=True):
        for objects in instances[file].values():
            for entry in objects:
                if str(entry["instID"]) in known:
                    entry["medDist"], entry["distConf"] = known[str(entry["instID"])]
    evaluator.writeDict2JSON(instances, path)


if __name__ == "__main__":
    main()
