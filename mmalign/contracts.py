"""What each kind of component must offer: Modality, Dataset, Loss, Head, Method, Backbone.

A component of any kind is a class made with ``@mmalign.component`` that has a ``name``.
These are protocols: nothing has to be inherited.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeAlias, runtime_checkable

from mmalign.types import Facts, Level, Session, Signature, Source, Training, View

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float
    from PIL import Image
    from torch import Tensor

    from mmalign.arrays import Floats

Kind: TypeAlias = Literal["dataset", "modality", "loss", "head", "method", "backbone"]
ErrorName: TypeAlias = Literal["l1", "l2", "bernoulli", "cosine"]
Over: TypeAlias = Literal["pairs", "ordered-pairs", "ordered-posteriors", "batches"]
Products: TypeAlias = Literal["float32", "bfloat16"]
ScalerName: TypeAlias = Literal["none", "min-max", "standard", "unit", "per-split"]


@runtime_checkable
class Dataset(Protocol):
    """Reads a data set. Raises MmalignError, naming file and key, for what is wrong.

    A data set may name in ``afterwards`` those of its fields that change what is asked, and
    no training row: as for a method, a sweep over them trains a representation once.
    """

    name: ClassVar[str]

    def load(self) -> Source:
        """Everything that the data set offers."""
        ...


@runtime_checkable
class Modality(Protocol):
    """Turns what a data set offers into numbers, and says how they are modelled.

    ``hidden`` are the widths of the encoder's and the decoder's hidden layer,
    ``reconstruction`` names the reconstruction error, ``scaler`` the scaling that is
    fitted on the training rows. It may have ``view_of_newcomers(source)``, the numbers of
    classes that come to a trained model, where they are not what ``view`` would give.
    """

    name: ClassVar[str]

    @property
    def hidden(self) -> tuple[int, int]: ...  # noqa: D102
    @property
    def reconstruction(self) -> ErrorName: ...  # noqa: D102
    @property
    def scaler(self) -> ScalerName: ...  # noqa: D102

    def view(self, source: Source) -> View:
        """This modality's numbers. Raises MmalignError where the source lacks them."""
        ...


@runtime_checkable
class ReconstructionError(Protocol):
    """The error of a decoding, per row."""

    def __call__(  # noqa: D102
        self, x: Float[Tensor, "rows dim"], decoded: Float[Tensor, "rows dim"]
    ) -> Float[Tensor, " rows"]: ...


@runtime_checkable
class Loss(Protocol):
    """An alignment term; it never sees a row without the modality.

    ``over`` says what it is called with. The first three return one value per row:

    - "pairs": once per unordered pair of modalities, with their posteriors ``(p, q)``,
      two Gaussians of (rows, latent); it must be symmetric.
    - "ordered-pairs": once per ordered pair (i, j), with ``(x, decoded, error)``: the
      numbers of modality j, what its decoder makes of modality i's latent, both
      (rows, dim), and modality j's own reconstruction error.
    - "ordered-posteriors": once per ordered pair (i, j), with the posteriors of modality i
      and of modality j, as "pairs"; it need not be symmetric.
    - "batches": once per unordered pair, with the posteriors of all rows that have both
      modalities, as two clouds whose rows are not paired. It returns one number, the
      divergence of the clouds, and must be symmetric and finite for a single row. The
      caller counts it once for each row, so that "summed over rows" holds of it too.

    Masks, weights, ramps and reductions are applied by the caller.
    """

    name: ClassVar[str]
    over: ClassVar[Over]

    def __call__(self, *args: Any) -> Float[Tensor, " rows"] | Float[Tensor, ""]:
        """One value per row; for "batches" a single one."""
        ...


@dataclass(frozen=True)
class Weighted:
    """A loss with its weight in each epoch (a ``Ramp``)."""

    loss: Loss
    weight: Callable[[float], float]


@runtime_checkable
class Latents(Protocol):
    """Where a head gets its training set: latents drawn from posteriors.

    ``levels`` names the modalities and says what a row of each is; ``shots`` is how many
    samples of each unseen class were given away.
    """

    @property
    def seen(self) -> tuple[int, ...]: ...  # noqa: D102
    @property
    def unseen(self) -> tuple[int, ...]: ...  # noqa: D102
    @property
    def dim(self) -> int: ...  # noqa: D102
    @property
    def levels(self) -> Mapping[str, Level]: ...  # noqa: D102
    @property
    def shots(self) -> int: ...  # noqa: D102

    def draw(
        self,
        modalities: Sequence[str],
        classes: Sequence[int],
        count: int,
        purpose: str,
        rows: Literal["training", "shots"] = "training",
    ) -> tuple[Float[Tensor, "rows latent"], Tensor]:
        """``count`` latents of each class, and their class indices (rows,).

        They are shared out equally among those of the modalities that a class has; a name
        such as "attributes+sentences" is one of them, the product of both posteriors. From a
        sample-level modality the first rows of the class are taken, repeated when there
        are too few, from a class-level one the class's own row. ``rows`` says whether
        samples are the training's or the shots. A class that has none of the modalities
        gives none. ``purpose`` names the random generator.
        """
        ...


@runtime_checkable
class Scorer(Protocol):
    """Scores latents over classes."""

    def scores(self, z: Float[Tensor, "rows latent"], classes: Sequence[int]) -> Tensor:
        """Scores over these classes, (rows, classes); the larger the likelier."""
        ...


@runtime_checkable
class FittedHead(Scorer, Protocol):
    """A trained classifier of latents."""

    def state(self) -> Mapping[str, Tensor]:
        """Its tensors, by name."""
        ...

    @property
    def facts(self) -> Facts:
        """What a report says of it."""
        ...


@runtime_checkable
class Head(Protocol):
    """Trains a classifier on latents.

    A head names the modalities that it draws from in ``seen_from``, ``unseen_from`` and
    ``shots_from``, if it has such fields; a recipe checks them. One that draws from shots
    has ``uses_shots = True``, and is refused by a recipe that gives none away; one without
    is refused by a recipe that does. ``uses_shots = None`` is of a head that takes shots
    where there are any, and goes with both.
    """

    name: ClassVar[str]

    @property
    def needs_validation(self) -> bool:
        """Whether something is left to be chosen on the validation protocol."""
        ...

    def tuned(
        self,
        latents: Latents,
        measure: Callable[[Scorer, Literal["H", "T1"]], float],
        session: Session,
    ) -> tuple[Head, Facts]:
        """This head with all its choices made, and what a report says of the choice.

        ``latents`` are of the validation protocol's training rows; ``measure`` gives H or
        T1 on the validation question.
        """
        ...

    def fit(self, latents: Latents, session: Session) -> FittedHead:
        """Train on latents."""
        ...

    def restore(self, state: Mapping[str, Tensor], signature: Signature) -> FittedHead:
        """The fitted head that these tensors came from."""
        ...


@dataclass(frozen=True)
class Parts:
    """What a recipe assembles around a method."""

    modalities: Mapping[str, Modality]
    losses: Mapping[str, Weighted] = field(default_factory=dict)
    head: Head | None = None


@runtime_checkable
class Fitted(Protocol):
    """A trained model: tensors and a configuration, nothing else.

    It may have ``variants``, other ways of scoring by name, such as calibrated stacking:
    objects with ``scores``, whose results a report lists in rows of their own. It may have
    ``chosen_head``, the recipe's head with its choices made, which a model then keeps in its
    place. It may have ``temperature``, what scores over all its classes are divided by before
    a softmax makes probabilities of them (``fit_temperature``, on the validation protocol);
    None where it fitted nothing that could tell.
    """

    def scores(self, views: Mapping[str, View], classes: Sequence[int]) -> Floats:
        """Scores of rows over classes, (rows, classes); the larger the likelier.

        ``views`` are scaled sample-level views of the same rows, by modality.
        """
        ...

    def state(self) -> Mapping[str, torch.Tensor]:
        """Every tensor, by name."""
        ...

    @property
    def facts(self) -> Facts:
        """What a report says of the fit: JSON values."""
        ...


@runtime_checkable
class Reclassable(Fitted, Protocol):
    """A fitted thing that can take classes in and let them go, without the training data."""

    def reclassed(
        self,
        kept: Sequence[int],
        added: Mapping[str, View],
        signature: Signature,
        session: Session,
    ) -> Fitted:
        """The same for other classes: those ``kept``, by their present numbers, then new ones.

        ``added`` are scaled class-level views of the new classes, of some or all of the
        class-level modalities; a mask says which class has which. ``signature`` numbers the
        classes anew, in this order. Raises MmalignError where it cannot be done.
        """
        ...


@runtime_checkable
class LatentSpace(Fitted, Protocol):
    """A fitted thing that puts every modality into one space, and brings it back out.

    A method whose fits are such says ``latent_space = True``, a class variable. It may have
    ``class_latents(classes)``, the latents of the descriptions that it keeps of classes,
    (classes, latent), NaN where it keeps none.
    """

    def embed(self, views: Mapping[str, View]) -> Floats:
        """Latents of rows, (rows, latent), from scaled views of one or several modalities."""
        ...

    def decode(self, z: Floats, modality: str) -> Floats:
        """A modality's numbers from latents, (rows, dim), scaled as the model scales them."""
        ...


@runtime_checkable
class Exportable(Fitted, Protocol):
    """A fitted thing whose scores are nothing but torch operations, as an ONNX file needs."""

    def module(self, modalities: Sequence[str], classes: Sequence[int]) -> torch.nn.Module:
        """A module that scores rows which have all of these modalities, over these classes.

        It is called with one tensor a modality, in this order: scaled rows, (rows, dim)
        float32. It gives a tuple: the scores that ``scores`` gives, (rows, classes), then the
        latents, (rows, latent), where there are any. No branch in it may depend on a number
        in the rows, or on how many there are. Raises MmalignError where there is no such
        module.
        """
        ...


@runtime_checkable
class Variant(Protocol):
    """Another way in which a fitted thing scores."""

    def scores(self, views: Mapping[str, View], classes: Sequence[int]) -> Floats:
        """As ``Fitted.scores``."""
        ...


@runtime_checkable
class Method(Protocol):
    """Learns to score rows over classes. The training loop lives behind ``fit``.

    A method may name in ``afterwards`` those of its fields that change nothing about the
    representation that ``session.reuse`` keeps: a sweep trains it once for all their values.
    One with ``across_processes = True`` trains by ``train_aligner``, or heeds
    ``session.group`` in another way: ``mmalign run --devices`` takes no other.
    """

    name: ClassVar[str]

    def check(self, parts: Parts) -> list[str]:
        """What this method cannot do with these parts, one line each; read before loading."""
        ...

    def fit(self, training: Training, parts: Parts, session: Session) -> Fitted:
        """Learn from the training rows."""
        ...

    def restore(
        self, state: Mapping[str, torch.Tensor], signature: Signature, parts: Parts
    ) -> Fitted:
        """The fitted model that these tensors came from; reads no data."""
        ...


@runtime_checkable
class TrainsTogether(Protocol):
    """A method that can train the representations of several seeds as one batched model."""

    def train_together(
        self, trainings: Sequence[Training], parts: Parts, sessions: Sequence[Session]
    ) -> str | None:
        """Train what ``fit`` would, and keep it in ``session.reuse``, where ``fit`` finds it.

        One training and one session a seed. Gives why it could not, as "they ...", and has
        then done nothing.
        """
        ...


@runtime_checkable
class Extractor(Protocol):
    """A backbone that is loaded: pictures in, features out.

    ``prepare`` is called from several threads at once, ``__call__`` from one.
    """

    @property
    def facts(self) -> Facts:
        """What the features depend on besides the backbone's table: digests, versions.

        JSON values. Features are only kept and found again under the same facts.
        """
        ...

    def prepare(self, picture: Image.Image) -> Floats:
        """A picture (RGB, any size) as the model takes it; all of one shape, float32.

        Raises MmalignError for a picture that it cannot take.
        """
        ...

    def __call__(self, batch: Floats) -> Floats:
        """Features of prepared pictures, (rows, ...) to (rows, dim) float32.

        A row depends on its own picture alone, whatever else is in the batch.
        """
        ...


@runtime_checkable
class Backbone(Protocol):
    """A frozen network that turns pictures into features, for ``mmalign extract``."""

    name: ClassVar[str]

    def extractor(self, device: str) -> Extractor:
        """Load the network. Raises MmalignError, saying what is missing, where it cannot."""
        ...


KINDS: Mapping[Kind, type] = {
    "dataset": Dataset,
    "modality": Modality,
    "loss": Loss,
    "head": Head,
    "method": Method,
    "backbone": Backbone,
}
