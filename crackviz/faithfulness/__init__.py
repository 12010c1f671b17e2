"""Whether a map can be believed: scores against masks, the network and fresh weights (``THEORY.md`` T8, T9).

Five questions, and a map may pass one and fail another:

- Does it lie on the crack? :func:`pointing_game` to :func:`centreline_coverage`, where masks are known.
- Does it tell what the network does? :func:`deletion_insertion` to :func:`sensitivity_max`, without masks.
- Does it depend on what was learned? :func:`randomisation_test`.
- Does it know what an object is worth to the network? :func:`cause_scores`, where objects can be taken away.
- Does it lie on a mark instead of the crack, and does the network read the mark? :func:`shortcut_share`,
  :func:`counterfactual`.

:func:`score_methods` puts methods, trivial baselines and an untrained network into one table.
Whatever doesn't fit what a docstring asks for (shapes, finite maps, boolean masks, ranges) raises a
:class:`CrackvizError`.
"""

from __future__ import annotations

from crackviz.contracts import as_masks
from crackviz.faithfulness.cause import cause_scores, evidence_inside, worth
from crackviz.faithfulness.imputation import impute
from crackviz.faithfulness.infidelity import Falls, infidelity, measure_falls, sensitivity_max
from crackviz.faithfulness.localisation import (
    PooledF1,
    average_precision,
    best_f1,
    centreline_coverage,
    chance_levels,
    evidence_near,
    localisation_scores,
    pointing_game,
    tolerant_precision_recall,
)
from crackviz.faithfulness.perturbation import Curves, average_drop, deletion_insertion, road
from crackviz.faithfulness.randomisation import (
    complexity,
    randomisation_test,
    randomise,
    rank_correlation,
    similarity,
    verdict,
)
from crackviz.faithfulness.scoring import SCORES, SLOPES, Options, Score, scores_table
from crackviz.faithfulness.shortcuts import counterfactual, shortcut_share
from crackviz.faithfulness.table import score_methods
from crackviz.faithfulness.truth import Truth, truth

__all__ = [
    "SCORES",
    "SLOPES",
    "Curves",
    "Falls",
    "Options",
    "PooledF1",
    "Score",
    "Truth",
    "as_masks",
    "average_drop",
    "average_precision",
    "best_f1",
    "cause_scores",
    "centreline_coverage",
    "chance_levels",
    "complexity",
    "counterfactual",
    "deletion_insertion",
    "evidence_inside",
    "evidence_near",
    "impute",
    "infidelity",
    "localisation_scores",
    "measure_falls",
    "pointing_game",
    "randomisation_test",
    "randomise",
    "rank_correlation",
    "road",
    "score_methods",
    "scores_table",
    "sensitivity_max",
    "shortcut_share",
    "similarity",
    "tolerant_precision_recall",
    "truth",
    "verdict",
    "worth",
]
