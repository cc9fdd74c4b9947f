"""A vote of classical detectors on one representation."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import ModelProto, TensorProto, compose, helper
from sklearn.base import ClassifierMixin

from raresight.detect.base import Detector
from raresight.detect.boosting import Boosting
from raresight.detect.classical import SVM, ClassicalDetector, Logistic, RandomForest
from raresight.errors import OptionError

Array = NDArray[Any]


class Vote(ClassifierMixin, Detector):  # type: ignore[misc]
    """The mean of several classical detectors' probabilities, each by its defaults (soft voting).

    Alam et al. put SMOTE on a frozen network's features and let classical models vote on them: that is this
    detector on the embedding, balanced by ``smote``. Which models voted there could not be looked up, so they
    are an option. Source: Alam et al., "Improved diabetic retinopathy detection using deep transfer learning
    with SMOTE", Journal of Healthcare Engineering 2023; Kittler, Hatef, Duin & Matas, "On combining
    classifiers", IEEE TPAMI 20 (1998), for the mean.

    Parameters
    ----------
    members : str
        Names joined by ``+``, of svm, rf, logistic and boosting.
    random_state : int

    Attributes
    ----------
    members_ : list of ClassicalDetector
    classes_ : int array
    """

    KINDS: ClassVar[dict[str, type[ClassicalDetector]]] = {
        "svm": SVM,
        "rf": RandomForest,
        "logistic": Logistic,
        "boosting": Boosting,
    }
    scaled = True
    stochastic = True
    multiclass = True
    default_threshold = 0.5

    def __init__(self, members: str = "svm+rf+logistic", random_state: int = 0) -> None:
        self.members, self.random_state = members, random_state

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        groups: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Train each member on the (n, …) rows.

        Raises
        ------
        OptionError
            If a member is unknown, or there are fewer than two.
        DataError
            If all rows are of one class.
        """
        names = self.members.split("+")
        if len(names) < 2 or len(set(names)) < len(names) or not set(names) <= set(self.KINDS):
            raise OptionError(
                f"vote[members={self.members}] is no vote; join at least two of {', '.join(self.KINDS)} by +"
            )
        self.members_ = []
        for name in names:
            member = self.KINDS[name]()
            if member.stochastic:
                member.set_params(random_state=self.random_state)
            self.members_.append(member.fit(X, y, groups, sample_weight))
        self.classes_ = self.members_[0].classes_
        return self

    def predict_proba(self, X: Array) -> NDArray[np.float64]:
        """Mean probability of each class, (n, classes), uncalibrated."""
        shares = [member.predict_proba(X) for member in self.members_]
        return np.asarray(np.mean(shares, axis=0, dtype=np.float64))

    def decision_function(self, X: Array) -> NDArray[np.float64]:
        """Score (n, …) rows from 0 to 1, (n,); each of more than two classes, (n, classes)."""
        shares = self.predict_proba(X)
        return shares[:, 1] if shares.shape[1] == 2 else shares

    def predict(self, X: Array) -> Array:
        """Give each row the class of the highest mean probability."""
        return np.asarray(self.classes_[self.predict_proba(X).argmax(axis=1)])

    def export_onnx(self, path: Path, example: Array) -> None:
        """Write the members' graphs and their mean as one; see `Detector.export_onnx`."""
        with tempfile.TemporaryDirectory() as folder:
            graphs = []
            for number, member in enumerate(self.members_):
                member.export_onnx(Path(folder) / "member.onnx", example)
                graph = onnx.load(Path(folder) / "member.onnx")
                graphs.append(compose.add_prefix(graph, f"member{number}_"))
        onnx.save(mean_graph(graphs, [member.link for member in self.members_], len(self.classes_)), path)

    @staticmethod
    def search_space(trial: Any) -> dict[str, Any]:
        """Options that tuning tries."""
        members = ["svm+rf+logistic", "svm+logistic", "svm+rf", "svm+rf+logistic+boosting"]
        return {"members": trial.suggest_categorical("members", members)}


def mean_graph(models: list[ModelProto], links: list[str], classes: int) -> ModelProto:
    """Average the probabilities of detectors' graphs, whose names begin with ``member0_``, ``member1_``, ….

    Parameters
    ----------
    models : list of ModelProto
        Each from ``member…_x`` to ``member…_score``.
    links : list of str
        What turns each one's score into probabilities; see `ClassicalDetector`.
    classes : int
    """
    first = models[0].graph
    entry, found = onnx.ValueInfoProto(), onnx.ValueInfoProto()
    entry.CopyFrom(first.input[0])
    found.CopyFrom(first.output[0])
    entry.name, found.name = "x", "score"
    nodes, weights = [], []
    for number, (model, link) in enumerate(zip(models, links, strict=True)):
        name = f"member{number}"
        nodes += [helper.make_node("Identity", ["x"], [f"{name}_x"]), *model.graph.node]
        nodes += _share_nodes(f"{name}_score", f"{name}_share", link, classes)
        weights += model.graph.initializer
    nodes.append(helper.make_node("Mean", [f"member{n}_share" for n in range(len(models))], ["score"]))
    axis = helper.make_tensor("class_axis", TensorProto.INT64, [1], [1])
    graph = helper.make_graph(nodes, "vote", [entry], [found], [*weights, axis])
    opsets = {each.domain: each.version for model in models for each in model.opset_import}
    joined = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid(domain, version) for domain, version in opsets.items()],
        ir_version=min(model.ir_version for model in models),
        functions=[function for model in models for function in model.functions],
    )
    onnx.checker.check_model(joined)
    return joined


def _share_nodes(score: str, share: str, link: str, classes: int) -> list[Any]:
    if link == "share":
        return [helper.make_node("Identity", [score], [share])]
    if classes == 2:
        return [helper.make_node("Sigmoid", [score], [share])]
    if link == "logit":
        return [helper.make_node("Softmax", [score], [share], axis=1)]
    odd, total = f"{share}_odd", f"{share}_total"
    return [
        helper.make_node("Sigmoid", [score], [odd]),
        helper.make_node("ReduceSum", [odd, "class_axis"], [total], keepdims=1),
        helper.make_node("Div", [odd, total], [share]),
    ]
