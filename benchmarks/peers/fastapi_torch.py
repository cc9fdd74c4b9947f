"""FastAPI around PyTorch: the same network and SVM in eager inference mode, a plain function in the thread pool."""

import os
import sys
from pathlib import Path

import numpy as np
import torch
import uvicorn
from fastapi import FastAPI, File

import raresight as rs
from raresight.networks.lite0 import Lite0

app = FastAPI()
bundle, port, workers = (
    os.environ["PEER_BUNDLE"],
    int(os.environ["PEER_PORT"]),
    int(os.environ["PEER_WORKERS"]),
)
torch.set_num_threads(max(1, (os.cpu_count() or 1) // workers))
prepare = rs.Predictor(bundle, threads=1).prepare
network = Lite0().eval()
head = {name: torch.from_numpy(value) for name, value in np.load(os.environ["PEER_HEAD"]).items()}


@torch.inference_mode()
def score(pixels: np.ndarray) -> float:
    rows = (network(torch.from_numpy(pixels[None]).float()) - head["mean"]) / head["scale"]
    near = torch.exp(-head["gamma"] * torch.cdist(rows.double(), head["vectors"]) ** 2)
    return float(near @ head["weights"] + head["intercept"])


@app.post("/predict")
def predict(file: bytes = File()) -> dict:
    return {"score": score(prepare(file))}


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    uvicorn.run("fastapi_torch:app", port=port, workers=workers, access_log=False, log_level="warning")
