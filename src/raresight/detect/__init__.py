"""Detectors: score images, higher = more anomalous."""

from raresight.registry import Entry, Registry

DETECTORS = Registry(
    "detector",
    {
        "logistic": Entry(
            "raresight.detect.classical:Logistic", "logistic regression, the plain yardstick", "Cox 1958"
        ),
        "svm": Entry(
            "raresight.detect.classical:SVM", "support vector machine, RBF kernel", "Cortes & Vapnik 1995"
        ),
        "rf": Entry("raresight.detect.classical:RandomForest", "random forest", "Breiman 2001"),
        "cnn": Entry(
            "raresight.detect.cnn:CNN", "compact residual network, trained from scratch", "He et al. 2016"
        ),
        "transfer": Entry(
            "raresight.detect.transfer:Transfer",
            "pretrained network, its last stages or all of it trained further",
            "Yosinski et al. 2014; Tan & Le 2019",
        ),
        "knn": Entry(
            "raresight.detect.memory:NearestNeighbours",
            "one-class: distance to the nearest normal rows",
            "Bergman et al. 2020",
        ),
    },
)
