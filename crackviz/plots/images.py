"""A display of images in a grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, Self

import numpy as np

from crackviz.contracts import CLASS_NAMES, check_lengths
from crackviz.plots.drawing import COLORS, FONT, Display, Maker, even_columns, in_words, some_axes, title_lines


@dataclass
class ImagesDisplay(Display):
    """Pictures side by side, each with a title and a coloured frame if wanted.

    Parameters
    ----------
    images : float (N, H, W, 3) in [0, 1], or uint8
        Or a sequence of arrays of different sizes.
    titles : sequence of str (N,), optional
    frames : sequence of colours (N,), optional
        None leaves one out. Colour alone tells nothing to a colour-blind reader: say it in the title too.
    columns : int, optional
        Pictures in a row; by default at most 4, so that each is large enough for the back row.
    """

    images: Sequence[np.ndarray] | np.ndarray
    _: KW_ONLY
    titles: Sequence[str] | None = None
    frames: Sequence[Any] | None = None
    columns: int | None = None

    from_images = Maker()

    @classmethod
    def from_predictions(
        cls,
        images: Sequence[np.ndarray] | np.ndarray,
        labels: Sequence[int] | np.ndarray,
        probabilities: Sequence[float] | np.ndarray,
        *,
        class_names: Sequence[str] = CLASS_NAMES,
        threshold: float = 0.5,
        columns: int | None = None,
        ax: Any = None,
    ) -> ImagesDisplay:
        """Draw `images` with the truth and the predicted probability of label 1; mistakes get a thick frame."""
        check_lengths(images=images, labels=labels, probabilities=probabilities)
        titles, frames = [], []
        for label, probability in zip(labels, probabilities, strict=True):
            right = (probability >= threshold) == bool(label)
            titles.append(
                f"{in_words(class_names[int(label)])}\nP(crack) = {probability:.2f}{'' if right else '  wrong'}"
            )
            frames.append(None if right else COLORS[3])
        return cls(images, titles=titles, frames=frames, columns=columns).plot(ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw on `ax` (an array of at least N axes), or on a new figure."""
        check_lengths(images=self.images, titles=self.titles, frames=self.frames)
        cell = (2.3, 2.3 + 0.22 * title_lines(self.titles))
        _, axes = some_axes(ax, len(self.images), self.columns or even_columns(len(self.images)), cell)
        for i, (axis, image) in enumerate(zip(axes.flat, self.images, strict=False)):
            axis.imshow(image, vmin=0, vmax=1 if image.dtype != np.uint8 else 255, cmap="gray")
            axis.set(xticks=[], yticks=[])
            axis.axis("on")
            frame = self.frames[i] if self.frames is not None else None
            axis.spines[:].set(visible=frame is not None, color=frame or "black", linewidth=4)
            if self.titles is not None:
                axis.set_title(self.titles[i], fontsize=FONT)
        return self._drawn(axes)
