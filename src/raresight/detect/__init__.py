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
        "knn": Entry(
            "raresight.detect.memory:NearestNeighbours",
            "one-class: distance to the nearest normal rows",
            "Bergman et al. 2020",
        ),
        "ae": Entry(
            "raresight.detect.autoencoders:ConvolutionalAutoencoder",
            "one-class: autoencoder with a dense code",
            "Baur et al. 2021",
        ),
        "vae": Entry(
            "raresight.detect.autoencoders:VariationalAutoencoder",
            "one-class: variational autoencoder",
            "Kingma & Welling 2014; Baur et al. 2021",
        ),
        "dae": Entry(
            "raresight.detect.autoencoders:DenoisingAutoencoder",
            "one-class: takes coarse noise off images",
            "Kascenas et al. 2022",
        ),
        "ceae": Entry(
            "raresight.detect.autoencoders:ContextAutoencoder",
            "one-class: autoencoder that fills in overwritten squares",
            "Zimmerer et al. 2018",
        ),
        "cevae": Entry(
            "raresight.detect.autoencoders:ContextVariationalAutoencoder",
            "one-class: both, errors weighed by a gradient",
            "Zimmerer et al. 2018",
        ),
        "perceptual-ae": Entry(
            "raresight.detect.perceptual:PerceptualAutoencoder",
            "one-class: autoencoder judged by pretrained features",
            "Shvetsova et al. 2021",
        ),
    },
)
