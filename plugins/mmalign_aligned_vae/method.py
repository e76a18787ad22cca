"""The settings of the aligned VAE; the work is in ``fitting``, which imports torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from mmalign import Fitted, Parts, Products, Ramp, Session, Signature, Training, component

if TYPE_CHECKING:
    from torch import Tensor

MOST_FUSED = 10  # modalities in a mixture of all products of them


@component
class AlignedVAE:
    """One variational autoencoder per modality, aligned in one latent space.

    ``L = sum_m [rec_m + beta KL_m]`` plus the alignment losses of the recipe (Schonfeld et
    al. 2019, eq. 6); without a ``[loss.cross]`` it is DA-VAE, without a
    ``[loss.distribution]`` CA-VAE, with both CADA-VAE. Defaults are the published ones,
    but for ``noise`` and ``scale``, which were chosen on the validation protocol
    (docs/results.md).
    """

    name: ClassVar[str] = "aligned-vae"
    latent_space: ClassVar[bool] = True
    across_processes: ClassVar[bool] = True
    # Settings that no representation depends on: fits that differ in them alone are shared.
    afterwards: ClassVar[tuple[str, ...]] = ("fusion", "stacking")
    latent: int = Field(default=64, ge=1)
    """Dimensions of the latent space."""
    epochs: int = Field(default=100, ge=1)
    """Epochs of ceil(rows / batch) steps."""
    batch: int = Field(default=50, ge=1)
    """Rows of a step."""
    lr: float = Field(default=1.5e-4, gt=0)
    """Learning rate of Adam (amsgrad)."""
    draw: Literal["random", "shuffle"] = "random"
    """A fresh draw of rows for each step (published), or a shuffle for each epoch."""
    noise: Literal["shared", "independent"] = "shared"
    """One random number per row for all dimensions (the public code), or one for each."""
    scale: Literal["variance", "std"] = "variance"
    """Noise times the variance (the public code), or the standard deviation (the paper)."""
    kl: Ramp | Annotated[float, Field(ge=0)] = Ramp(to=0.25, start=0, end=93)
    """Weight beta of the KL divergence from the prior."""
    pair_reduction: Literal["sum", "mean"] = "sum"
    """Sum a row's pair terms, or divide them by the number of pairs that it has."""
    products: Products = "float32"
    """Factors of matrix products in training; "bfloat16" rounds them and sums in float32."""
    clip: Annotated[float, Field(gt=0)] | None = None
    """Largest norm of all gradients of a step together; larger ones are scaled down to it."""
    fusion: Literal["product", "mixture", "mixture-of-products"] = "product"
    """How the posteriors of a row with several modalities become one, when it is scored."""
    stacking: bool = False
    """Calibrated stacking besides: a bias against seen classes, chosen by H on validation."""

    def check(self, parts: Parts) -> list[str]:
        """What it cannot do with these parts."""
        problems = []
        if parts.head is None:
            problems.append("head: missing; the method 'aligned-vae' classifies by a head")
        if len(parts.modalities) < 2 and parts.losses:
            problems.append("loss: alignment needs two modalities or more")
        if self.fusion == "mixture-of-products" and len(parts.modalities) > MOST_FUSED:
            problems.append(
                f"method.fusion: 'mixture-of-products' of {len(parts.modalities)} modalities has"
                f" 2^{len(parts.modalities)} - 1 products; take it for up to {MOST_FUSED}"
            )
        return problems

    def fit(self, training: Training, parts: Parts, session: Session) -> Fitted:
        """Train the autoencoders, then the head on their latents."""
        from mmalign_aligned_vae.fitting import fit

        return fit(self, training, parts, session)

    def train_together(
        self, trainings: Sequence[Training], parts: Parts, sessions: Sequence[Session]
    ) -> str | None:
        """Train the autoencoders of several seeds as one batched model, and keep them."""
        from mmalign_aligned_vae.fitting import train_together

        return train_together(self, trainings, parts, sessions)

    def restore(self, state: Mapping[str, Tensor], signature: Signature, parts: Parts) -> Fitted:
        """The fitted model that these tensors came from."""
        from mmalign_aligned_vae.fitting import restore

        return restore(self, state, signature, parts)
