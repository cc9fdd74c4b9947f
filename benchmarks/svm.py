"""How much faster is an SVM whose kernel BLAS computes? Beside scikit-learn's SVC, on lite0 embeddings, one thread.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/svm.py [--data ../shared/data]

Writes benchmarks/svm.md. aptos2019 and brain_tumor_mri_4class, four fifths to learn from, scaled as in `compare`.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import raresight as rs
from raresight.detect.margin import GaussianSVC
from raresight.images.preprocess import Preprocess
from raresight.images.store import build_store
from raresight.represent.embedding import Embedding

HERE = Path(__file__).parent
SETS = {"aptos2019": "No_DR", "brain_tumor_mri_4class": "notumor"}


def timed(call):
    start = time.perf_counter()
    found = call()
    return time.perf_counter() - start, found


def row(data: Path, name: str, normal: str) -> str:
    images = rs.load(data / name, normal=[normal])
    Z, y = np.asarray(Embedding().whole(build_store(images, Preprocess()))), images.y
    order = np.random.default_rng(0).permutation(len(y))
    train, test = np.split(order, [int(0.8 * len(order))])
    scaler = StandardScaler().fit(Z[train])
    A, B = (scaler.transform(Z[part]).astype(np.float32) for part in (train, test))
    gamma = 0.5 / (A.shape[1] * float(A.var()))
    ours, own = timed(lambda: GaussianSVC(2.0, gamma).fit(A, y[train]))
    theirs, peer = timed(lambda: SVC(C=2.0, gamma=gamma, cache_size=500).fit(A, y[train]))
    scored, one = timed(lambda: own.decision_function(B))
    peer_scored, other = timed(lambda: peer.decision_function(B))
    return (
        f"| {name} | {len(train):,} | {ours:.2f} | {theirs:.2f} | {theirs / ours:.1f} | {scored:.2f} | {peer_scored:.2f} | "
        f"{peer_scored / scored:.1f} | {np.abs(one - other).max():.0e} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    data = parser.parse_args().data
    lines = [
        "# An SVM whose kernel BLAS computes",
        "",
        f"`OMP_NUM_THREADS=1 python benchmarks/svm.py`, {time.strftime('%Y-%m-%d')}: LIBSVM's solver given the kernel, beside "
        "scikit-learn's SVC that has LIBSVM compute it. 1,280 features.",
        "",
        "| set | rows learned from | fit, s | SVC's, s | × | scores of a quarter as many rows, s | SVC's, s | × | largest difference |",
        "|---|---|---|---|---|---|---|---|---|",
        *(row(data, name, normal) for name, normal in SETS.items()),
        "",
    ]
    (HERE / "svm.md").write_text("\n".join(lines))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
