"""Ask a model server for the objects of pictures: python rest_client.py URL FILE..."""

import base64
import json
import sys
import urllib.request
from pathlib import Path

url, *files = sys.argv[1:]  # http://localhost:8501/v1/models/leaves
data = [base64.b64encode(Path(file).read_bytes()).decode() for file in files]
instances = [{"image_bytes": {"b64": text}} for text in data]
body = json.dumps({"signature_name": "serving_bytes", "instances": instances})
answer = urllib.request.urlopen(f"{url}:predict", body.encode())
for file, found in zip(files, json.load(answer)["predictions"], strict=True):
    print(file, found["count"], found["scores"][: found["count"]])
    png = base64.b64decode(found["labels_bytes"]["b64"])
    Path(f"{file}.labels.png").write_bytes(png)
