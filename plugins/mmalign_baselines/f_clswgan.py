"""f-CLSWGAN: features made up by a Wasserstein GAN that keeps their classes apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from mmalign import Products, Session, component
from mmalign_baselines.generative import Generative

if TYPE_CHECKING:
    from mmalign import Rows
    from mmalign_baselines.wgan import Generator


@component
class FCLSWGAN(Generative):
    """Feature-generating network with a classification loss (Xian et al. 2018).

    A generator makes features of noise e and a description a, ``G(e, a)``, and a critic ``D``
    tells them from real ones:

    ``max over D of E[D(x, a)] - E[D(G(e, a), a)] - penalty E[(|dD(m, a)/dm| - 1)^2]``,
    ``min over G of -E[D(G(e, a), a)] + beta E[cross-entropy of a frozen classifier]``,

    with m on the line between a real and a made-up feature (eqs. 2 to 4 of the paper, as
    public code has them). G is ``[e; a] -> hidden -> leaky ReLU -> ReLU``, D is ``[x; a] ->
    hidden -> leaky ReLU -> 1``; the frozen classifier is a linear softmax of the real
    features (50 epochs of batches of 100). Then a linear softmax is trained on real features
    of the known classes and made-up ones of the others.

    G makes no negative numbers: take ``scaler = "min-max"`` for the features, the default of
    ``image``, which brings them to [0, 1].

    The defaults are those published for CUB; public code has 40 epochs, ``lr = 2e-4`` and
    ``n_syn = 400`` for SUN, and 30, 1e-5 and 1800 for AWA.

    Ours: rows of a step are drawn with replacement; the generator's step takes the classes
    of the critic's last one; the epoch is chosen on the validation protocol among every
    eighth, and published code chooses it on the test rows.
    """

    name: ClassVar[str] = "f-clswgan"
    epochs: int = Field(default=56, ge=1)
    """Times as many iterations as batches make the rows."""
    every: int = Field(default=8, ge=1)
    """Epochs from one that may be chosen to the next; the last one always may."""
    lr: float = Field(default=1e-4, gt=0)
    """Learning rate of Adam, with betas (0.5, 0.999)."""
    hidden: int = Field(default=4096, ge=1)
    """Width of the hidden layer of the generator, and of the critic."""
    noise: int | None = Field(default=None, ge=1)
    """Numbers of noise that a feature is made of; as many as a description has by default."""
    critic_steps: int = Field(default=5, ge=1)
    """Steps of the critic for one of the generator."""
    penalty: float = Field(default=10.0, ge=0)
    """Weight of the gradient penalty, lambda in the paper."""
    beta: float = Field(default=0.01, ge=0)
    """Weight of the frozen classifier's cross-entropy."""
    products: Products = "float32"
    """Precision of the factors of matrix products while the networks train."""

    def generators(
        self, rows: Rows, session: Session
    ) -> Iterator[tuple[Generator, Mapping[str, float]]]:
        """Train generator and critic in turn."""
        from mmalign_baselines.wgan import train

        return train(self, rows, session)
