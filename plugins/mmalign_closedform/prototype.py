"""The settings of the nearest-prototype head."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from mmalign import Facts, Latents, Scorer, Session, Signature, component
from mmalign_closedform.drawing import Drawing

if TYPE_CHECKING:
    from torch import Tensor

    from mmalign_closedform.nearest import FittedPrototypes


@component
class Prototype(Drawing):
    """The class whose latents' mean is nearest.

    A prototype is the mean of a class's latents (Mensink et al. 2013; Snell et al. 2017, eq.
    1): of a seen class from its images, of an unseen one from its description, and from its
    shots where there are any, in proportion to their counts. Nothing is trained, and a class
    more is one mean more.

    Scores are linear in the latent: ``<z, m> - |m|^2 / 2`` ("euclidean"), which is minus half
    the squared distance up to a constant of the row; the cosine ("cosine"); and
    ``<z, S^-1 m> - <m, S^-1 m> / 2`` ("mahalanobis"), Fisher's discriminant for even classes.
    """

    name: ClassVar[str] = "prototype"
    needs_validation: ClassVar[bool] = False
    metric: Literal["euclidean", "cosine", "mahalanobis"] = "euclidean"
    """How near a latent is to a prototype."""
    shrinkage: float = Field(default=0.1, ge=0, le=1)
    """Share s of "mahalanobis": S = (1 - s) W + s trace(W) / latent * identity.

    W is the covariance within a class, averaged over seen classes: the latents of a
    description spread by the encoder's noise alone, which says nothing of images.
    """

    def tuned(
        self,
        latents: Latents,
        measure: Callable[[Scorer, Literal["H", "T1"]], float],
        session: Session,
    ) -> tuple[Prototype, Facts]:
        """Nothing is left to be chosen."""
        return self, {}

    def fit(self, latents: Latents, session: Session) -> FittedPrototypes:
        """Take the means. Raises MmalignError for a class without latents."""
        from mmalign_closedform.nearest import fit

        return fit(self, latents)

    def restore(self, state: Mapping[str, Tensor], signature: Signature) -> FittedPrototypes:
        """The fitted head that these tensors came from."""
        from mmalign_closedform.nearest import restore

        return restore(self, state, signature)
