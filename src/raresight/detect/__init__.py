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
        "boosting": Entry(
            "raresight.detect.boosting:Boosting",
            "gradient boosting over histograms",
            "Friedman 2001; Ke et al. 2017",
        ),
        "vote": Entry(
            "raresight.detect.vote:Vote",
            "mean probability of classical detectors",
            "Alam et al. 2023; Kittler et al. 1998",
        ),
        "deep-sad": Entry(
            "raresight.detect.deepsad:DeepSAD",
            "few labels: normal rows near a centre, anomalies far from it",
            "Ruff et al. 2020",
        ),
        "cnn": Entry(
            "raresight.detect.cnn:CNN", "compact residual network, trained from scratch", "He et al. 2016"
        ),
        "fusion": Entry(
            "raresight.detect.fusion:Fusion",
            "several images and a table a case, stacked; missing ones tolerated",
            "Baltrušaitis et al. 2019",
        ),
        "unet": Entry(
            "raresight.detect.unet:UNet",
            "lesions found pixel by pixel, where masks of them are known",
            "Ronneberger et al. 2015",
        ),
        "transfer": Entry(
            "raresight.detect.transfer:Transfer",
            "pretrained network, its last stages or all of it trained further",
            "Yosinski et al. 2014; Tan & Le 2019",
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
        "mahalanobis": Entry(
            "raresight.detect.memory:Mahalanobis",
            "one-class: Mahalanobis distance to the normal rows",
            "Rippel et al. 2021",
        ),
        "padim": Entry(
            "raresight.detect.patches:PaDiM",
            "one-class: a normal distribution of features at each place",
            "Defard et al. 2021",
        ),
        "patchcore": Entry(
            "raresight.detect.patches:PatchCore",
            "one-class: distance of each place to a memory of normal ones",
            "Roth et al. 2022",
        ),
        "ocsvm": Entry(
            "raresight.detect.outliers:OneClassSVM",
            "one-class: support vector machine",
            "Schölkopf et al. 2001",
        ),
        "iforest": Entry(
            "raresight.detect.outliers:IsolationForest", "one-class: isolation forest", "Liu et al. 2008"
        ),
        "ecod": Entry(
            "raresight.detect.outliers:ECOD", "one-class: empirical tail probabilities", "Li et al. 2022"
        ),
        "f-anogan": Entry(
            "raresight.detect.adversarial:FAnoGAN",
            "one-class: WGAN-GP of normal images and an encoder; what it cannot redraw",
            "Schlegl et al. 2019",
        ),
        "anogan": Entry(
            "raresight.detect.adversarial:AnoGAN",
            "one-class: WGAN-GP of normal images, searched for the nearest",
            "Schlegl et al. 2017",
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
