"""Find, check, read and split pictures of concrete: from a folder on a disk to batches for a network.

The way through: `index` lists what a folder holds, `scan` opens every picture once, drops bad ones and finds
near-duplicates, `split` keeps relatives together, `pipeline` feeds a training. See THEORY.md, section T1.
"""

from __future__ import annotations

from crackviz.contracts import CLASS_NAMES, PREPROCESSING
from crackviz.data.duplicates import dhash, near_duplicate_pairs
from crackviz.data.feeding import augmentation, pipeline, varied_alike
from crackviz.data.images import MAX_ARRAY_BYTES, MAX_PIXELS, Item, Result, load_images, load_masks, read_image
from crackviz.data.metu import fetch_metu
from crackviz.data.splits import SPLITS, Table, check_split, read_split, split, write_split
from crackviz.data.table import index, locate, prepare, scan, subset, synthetic_settings, two_classes

__all__ = [
    "CLASS_NAMES",
    "MAX_ARRAY_BYTES",
    "MAX_PIXELS",
    "PREPROCESSING",
    "SPLITS",
    "Item",
    "Result",
    "Table",
    "augmentation",
    "check_split",
    "dhash",
    "fetch_metu",
    "index",
    "load_images",
    "load_masks",
    "locate",
    "near_duplicate_pairs",
    "pipeline",
    "prepare",
    "read_image",
    "read_split",
    "scan",
    "split",
    "subset",
    "synthetic_settings",
    "two_classes",
    "varied_alike",
    "write_split",
]
