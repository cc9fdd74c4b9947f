"""A compact residual network (He et al. 2016), small enough for a few hundred images."""

from __future__ import annotations

from monai.networks.nets import ResNet
from torch import nn

from raresight.errors import OptionError


def residual_network(
    channels: int, *, width: int = 16, dropout: float = 0.2, outputs: int = 2
) -> nn.Sequential:
    """Build MONAI's ResNet with one basic block a stage: 0.3 million parameters at width 16.

    Parameters
    ----------
    channels : int
        Of the input, 1 or 3.
    width : int
        Feature maps of the first stage, a multiple of 8; each further one of the four has twice as many.
    dropout : float
        Share of the pooled features that is dropped in training, 0 to 1.
    outputs : int
        Logits.

    Returns
    -------
    torch.nn.Sequential
        (n, channels, height, width) → (n, outputs); any height and width from 32 on.

    Raises
    ------
    OptionError
        If the width is not a multiple of 8.
    """
    if width < 8 or width % 8:
        raise OptionError(f"a residual network's width must be a multiple of 8, not {width}")
    trunk = ResNet(
        block="basic",
        layers=[1, 1, 1, 1],
        block_inplanes=[width, 2 * width, 4 * width, 8 * width],
        spatial_dims=2,
        n_input_channels=channels,
        conv1_t_size=7,
        conv1_t_stride=2,
        feed_forward=False,
        bias_downsample=False,
    )
    return nn.Sequential(trunk, nn.Dropout(dropout), nn.Linear(8 * width, outputs))
