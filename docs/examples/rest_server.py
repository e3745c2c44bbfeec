"""A stand-in for TensorFlow Serving, to try a client: one exported model over HTTP.

    python docs/examples/rest_server.py exported 8501
    python docs/examples/rest_client.py http://localhost:8501/v1/models/leaves a.jpg

Speaks the row form of TensorFlow Serving's REST interface, POST
/v1/models/NAME:predict with "instances", for any NAME. One request at a time, on this
machine alone: for more, take TensorFlow Serving itself. Needs nothing but TensorFlow.
"""

import base64
import http.server
import json
import sys

import numpy as np
import tensorflow as tf


def decoded(value):
    """JSON to what a tensor is made of: {"b64": ...} is bytes."""
    if isinstance(value, dict):
        return base64.b64decode(value["b64"])
    return value


def encoded(name, row):
    """One image's values of an output to JSON; names with _bytes are in base64."""
    if name.endswith("_bytes"):
        return {"b64": base64.b64encode(row).decode()}
    return np.asarray(row).tolist()


def predict(model, request):
    """Return the answer to a request, both as JSON values."""
    function = model.signatures[request.get("signature_name", "serving_default")]
    ((name, spec),) = function.structured_input_signature[1].items()
    rows = [
        decoded(row[name] if isinstance(row, dict) and name in row else row)
        for row in request["instances"]
    ]
    outputs = function(**{name: tf.constant(rows, spec.dtype)})
    arrays = {key: value.numpy() for key, value in outputs.items()}
    return {
        "predictions": [
            {key: encoded(key, array[i]) for key, array in arrays.items()}
            for i in range(len(rows))
        ]
    }


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        try:
            length = int(self.headers["Content-Length"])
            answer, code = (
                predict(self.server.model, json.loads(self.rfile.read(length))),
                200,
            )
        except Exception as error:  # whatever the request was, the server goes on
            answer, code = {"error": str(error)}, 400
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    server = http.server.HTTPServer(("localhost", int(sys.argv[2])), Handler)
    server.model = tf.saved_model.load(sys.argv[1])
    print(f"listening on port {server.server_port}", flush=True)
    server.serve_forever()
