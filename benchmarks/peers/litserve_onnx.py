"""LitServe around ONNX Runtime, with its batching: up to 16 images, or 5 ms."""

import os

import litserve
import numpy as np
import onnxruntime

import raresight as rs

bundle, port, workers = (
    os.environ["PEER_BUNDLE"],
    int(os.environ["PEER_PORT"]),
    int(os.environ["PEER_WORKERS"]),
)
batch, wait = int(os.environ.get("PEER_BATCH", "16")), float(os.environ.get("PEER_WAIT", "0.005"))


class Detector(litserve.LitAPI):
    def setup(self, device):
        self.prepare = rs.Predictor(bundle, threads=1).prepare
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = max(1, (os.cpu_count() or 1) // workers)
        self.session = onnxruntime.InferenceSession(
            f"{bundle}/detector.onnx", options, providers=["CPUExecutionProvider"]
        )

    def decode_request(self, request):
        return self.prepare(request["file"].file.read())

    def batch(self, inputs):
        return np.stack(inputs)

    def predict(self, pixels):
        return self.session.run(["score"], {"pixels": pixels if pixels.ndim == 4 else pixels[None]})[0]

    def unbatch(self, output):
        return list(output)

    def encode_response(self, output):
        return {"score": float(np.ravel(output)[0])}


if __name__ == "__main__":
    api = Detector(max_batch_size=batch, batch_timeout=wait) if batch > 1 else Detector()
    litserve.LitServer(api, accelerator="cpu", workers_per_device=workers).run(
        host="127.0.0.1", port=port, generate_client_file=False, log_level="warning"
    )
