"""A display of images in a grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from crackviz import CrackvizError
from crackviz.plots.drawing import (
    COLORS,
    FONT,
    check_count,
    some_axes,
    title_lines,
)


@dataclass
class ImagesDisplay:
    """Pictures side by side, each with a title and a coloured frame if wanted.

    Parameters
    ----------
    images : float (N, H, W, 3) in [0, 1], or uint8
        Or a sequence of arrays of different sizes.
    titles : sequence of str (N,), optional
    frames : sequence of colours (N,), optional
        None leaves one out. Colour alone tells nothing to a colour-blind reader: say it in the title too.
    columns : int, optional
        Pictures in a row; at most 6 by default.
    """

    images: Sequence[np.ndarray] | np.ndarray
    titles: Sequence[str] | None = None
    frames: Sequence[Any] | None = None
    columns: int | None = None
    ax_: Any = field(default=None, repr=False)
    figure_: Any = field(default=None, repr=False)

    @classmethod
    def from_images(
        cls,
        images: Sequence[np.ndarray] | np.ndarray,
        *,
        titles: Sequence[str] | None = None,
        frames: Sequence[Any] | None = None,
        columns: int | None = None,
        ax: Any = None,
    ) -> ImagesDisplay:
        """Draw `images`; see the class for the arguments."""
        return cls(images, titles, frames, columns).plot(ax)

    @classmethod
    def from_predictions(
        cls,
        images: Sequence[np.ndarray] | np.ndarray,
        labels: Sequence[int] | np.ndarray,
        probabilities: Sequence[float] | np.ndarray,
        *,
        class_names: Sequence[str] = ("no_crack", "crack"),
        threshold: float = 0.5,
        columns: int | None = None,
        ax: Any = None,
    ) -> ImagesDisplay:
        """Draw `images` with the truth and the predicted probability of label 1; mistakes get a thick frame."""
        titles, frames = [], []
        for label, probability in zip(labels, probabilities, strict=True):
            right = (probability >= threshold) == bool(label)
            titles.append(f"{class_names[int(label)]}\nP(crack) = {probability:.2f}{'' if right else '  wrong'}")
            frames.append(None if right else COLORS[3])
        return cls(images, titles, frames, columns).plot(ax)

    def plot(self, ax: Any = None) -> ImagesDisplay:
        """Draw on `ax` (an array of at least N axes), or on a new figure."""
        count = len(self.images)
        if count == 0:
            raise CrackvizError("There is no image to draw.")
        check_count("titles", self.titles, count)
        check_count("frames", self.frames, count)
        lines = title_lines(self.titles)
        self.figure_, self.ax_ = some_axes(ax, count, self.columns, (2.1, 2.1 + 0.22 * lines))
        for i, (axis, image) in enumerate(zip(self.ax_.flat, self.images, strict=False)):
            axis.imshow(image, vmin=0, vmax=1 if image.dtype != np.uint8 else 255, cmap="gray")
            axis.set(xticks=[], yticks=[])
            axis.axis("on")
            frame = self.frames[i] if self.frames is not None else None
            axis.spines[:].set(visible=frame is not None, color=frame or "black", linewidth=4)
            if self.titles is not None:
                axis.set_title(self.titles[i], fontsize=FONT)
        return self
