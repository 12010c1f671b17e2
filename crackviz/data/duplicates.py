"""Near-duplicates: pictures that are copies or re-crops of one another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image


def dhash(image: npt.NDArray[np.uint8]) -> bytes:
    """Difference hash of a picture (H, W, 3): 16 rows of 16 signs of steps in brightness, as 32 bytes.

    Copies, and crops shifted by a few pixels, differ in few of the 256 bits; unrelated textures in about 128.
    A picture without any texture hashes to zeros: blank ones all count as near-duplicates of one another.
    The cells are plain averages (box filter). N. Krawetz, "Kind of like that", 2013; THEORY.md, T1.
    """
    grey = Image.fromarray(image).convert("L").resize((17, 16), Image.Resampling.BOX)
    cells = np.asarray(grey)
    return np.packbits(cells[:, 1:] > cells[:, :-1]).tobytes()


def near_duplicate_pairs(hashes: Sequence[bytes], max_distance: int = 12) -> npt.NDArray[np.int64]:
    """All pairs of 32-byte hashes within a Hamming distance: int64 (P, 2), i < j, in order.

    Exhaustive, in blocks: 40,000 hashes take seconds, since the distance of bits written as -1 and 1 is a
    matrix product, (256 - a.b) / 2, which float32 holds exactly.
    """
    bits = np.unpackbits(np.frombuffer(b"".join(hashes), np.uint8).reshape(-1, 32), axis=1)
    signs = bits.astype(np.float32) * 2 - 1
    limit, step, pairs = 256 - 2 * max_distance, 2048, [np.empty((0, 2), np.int64)]
    for top in range(0, len(signs), step):
        for left in range(top, len(signs), step):
            i, j = np.nonzero(signs[top : top + step] @ signs[left : left + step].T >= limit)
            near = np.stack([i + top, j + left], axis=1)
            pairs.append(near[near[:, 0] < near[:, 1]])
    found = np.concatenate(pairs)
    return found[np.lexsort((found[:, 1], found[:, 0]))]


def merge_groups(groups: pd.Series, pairs: npt.NDArray[np.int64]) -> list[str]:
    """Join groups that pairs connect (connected components), each named by its first member in the alphabet."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    codes, names = pd.factorize(groups, sort=True)
    edges = (np.ones(len(pairs), bool), (codes[pairs[:, 0]], codes[pairs[:, 1]]))
    _, component = connected_components(coo_array(edges, shape=(len(names), len(names))), directed=False)
    _, first = np.unique(component, return_index=True)
    return [str(names[first[component[code]]]) for code in codes]
