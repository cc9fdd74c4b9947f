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
        "vit": Entry(
            "raresight.detect.transformer:ViT",
            "vision transformer with a convolutional stem, trained from scratch",
            "Dosovitskiy et al. 2021",
        ),
        "swin": Entry(
            "raresight.detect.transformer:Swin",
            "shifted-window transformer, trained from scratch",
            "Liu et al. 2021",
        ),
        "mae": Entry(
            "raresight.detect.masked:MAE",
            "one-class: masked autoencoder of ViT blocks; what it cannot redraw",
            "He et al. 2022",
        ),
        "swin-mae": Entry(
            "raresight.detect.masked:SwinMAE",
            "one-class: masked autoencoder of shifted windows; what it cannot redraw",
            "Xu et al. 2023",
        ),
        "knn": Entry(
            "raresight.detect.memory:NearestNeighbours",
            "one-class: distance to the nearest normal rows",
            "Bergman et al. 2020",
        ),
    },
)
