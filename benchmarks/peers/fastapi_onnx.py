"""FastAPI around ONNX Runtime as its documentation has it: a plain function, run in the thread pool; no batches.

python fastapi_onnx.py BUNDLE PORT WORKERS
"""

import os
import sys
from pathlib import Path

import onnxruntime
import uvicorn
from fastapi import FastAPI, File

import raresight as rs

app = FastAPI()
bundle, port, workers = (
    os.environ["PEER_BUNDLE"],
    int(os.environ["PEER_PORT"]),
    int(os.environ["PEER_WORKERS"]),
)
prepare = rs.Predictor(bundle, threads=1).prepare
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = max(1, (os.cpu_count() or 1) // workers)
session = onnxruntime.InferenceSession(f"{bundle}/detector.onnx", options, providers=["CPUExecutionProvider"])


@app.post("/predict")
def predict(file: bytes = File()) -> dict:
    (score,) = session.run(["score"], {"pixels": prepare(file)[None]})[0]
    return {"score": float(score)}


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    uvicorn.run("fastapi_onnx:app", port=port, workers=workers, access_log=False, log_level="warning")
