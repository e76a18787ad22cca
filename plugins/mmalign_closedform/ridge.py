"""The settings of the ridge head."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, TypeAlias

from pydantic import Field

from mmalign import Facts, Latents, Scorer, Session, Signature, component
from mmalign_closedform.drawing import Drawing

if TYPE_CHECKING:
    from torch import Tensor

    from mmalign import LinearPair

Positive: TypeAlias = Annotated[float, Field(gt=0)]


@component
class Ridge(Drawing):
    """Ridge regression of latents on one-hot classes, solved in closed form.

    ``min over W, b of avg over classes of avg over a class's rows of |z W + b - y|^2 + r t
    |W|_F^2`` (Hoerl & Kennard 1970), once over all classes and once over unseen ones alone.
    Every class weighs the same, however many latents it gave; b is not regularised. t is the
    average variance of a latent dimension, so that r has no unit. Targets of +1 and -1 would
    only double W and shift b: the same classifier.
    """

    name: ClassVar[str] = "ridge"
    regulariser: Positive | Literal["validation"] = "validation"
    """r; "validation" takes the one of the grid with the best H on the validation protocol."""
    regulariser_unseen_only: Positive | Literal["validation"] = "validation"
    """r of the classifier of unseen classes alone; chosen by T1."""
    grid: Annotated[tuple[Positive, ...], Field(min_length=1)] = (
        *(100.0, 30.0, 10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01),
        *(3e-3, 1e-3, 3e-4, 1e-4),
    )
    """What r is chosen from; of equally good ones the first, so the strongest come first."""

    @property
    def needs_validation(self) -> bool:
        """Whether a regulariser is left to be chosen."""
        return "validation" in (self.regulariser, self.regulariser_unseen_only)

    def tuned(
        self,
        latents: Latents,
        measure: Callable[[Scorer, Literal["H", "T1"]], float],
        session: Session,
    ) -> tuple[Ridge, Facts]:
        """This head with the regularisers that were best on the validation protocol."""
        from mmalign_closedform.regression import best_regularisers

        return best_regularisers(self, latents, measure)

    def fit(self, latents: Latents, session: Session) -> LinearPair:
        """Solve both regressions. Raises MmalignError for a class without latents."""
        from mmalign_closedform.regression import fit

        return fit(self, latents)

    def restore(self, state: Mapping[str, Tensor], signature: Signature) -> LinearPair:
        """The fitted head that these tensors came from."""
        from mmalign import LinearPair

        return LinearPair.restore(state, signature)
