"""The faults that `mutations.py` plants, one at a time."""

from __future__ import annotations

from typing import NamedTuple


class Fault(NamedTuple):
    """One change of the source."""

    kind: str
    file: str
    """Below crackviz/; its folder names the tests."""
    old: str
    new: str

    @property
    def subject(self) -> str:
        """The folder of the tests that should notice it."""
        return self.file.split("/")[0]


A, F, E, S = "attribution", "faithfulness", "evaluation", "synthetic"
FAULTS = [
    # attribution
    Fault("normalisation", f"{A}/cams.py", "weigh(A, over_cells(G, tf.reduce_mean))", "weigh(A, over_cells(G))"),
    Fault("sign", f"{A}/cams.py", "alpha = tf.where(G > 0, ", "alpha = tf.where(G < 0, "),
    Fault(
        "normalisation", f"{A}/cams.py", "alpha = tf.math.divide_no_nan(alpha, over_cells(alpha))", "alpha = alpha + 0"
    ),
    Fault("number", f"{A}/cams.py", "1.0, 2.0 + over_cells(A) * G", "1.0, 1.0 + over_cells(A) * G"),
    Fault("sign", f"{A}/cams.py", "return weigh(A, tf.nn.relu(G))", "return weigh(A, tf.nn.relu(-G))"),
    Fault("normalisation", f"{A}/cams.py", "over_cells(A * G), over_cells(A))", "over_cells(A * G), over_cells(G))"),
    Fault("normalisation", f"{A}/cams.py", "enlarge(one * (n / fewest), images)", "enlarge(one, images)"),
    Fault(
        "axis", f"{A}/cams.py", "vectors[:, tf.newaxis, tf.newaxis, :, -1]", "vectors[:, tf.newaxis, tf.newaxis, :, 0]"
    ),
    Fault("sign", f"{A}/cams.py", "maps *= tf.sign(tf.reduce_sum(", "maps *= -tf.sign(tf.reduce_sum("),
    Fault("axis", f"{A}/gradients.py", "np.abs(values).max(axis=-1)", "np.abs(values).max(axis=1)"),
    Fault("sign", f"{A}/gradients.py", "np.abs(values).max(axis=-1)", "values.max(axis=-1)"),
    Fault(
        "off by one",
        f"{A}/gradients.py",
        "dtype=np.float32) + 0.5) / n_samples",
        "dtype=np.float32) + 1.5) / n_samples",
    ),
    Fault("sign", f"{A}/gradients.py", "ways = x[:, tf.newaxis] - bases", "ways = bases - x[:, tf.newaxis]"),
    Fault(
        "normalisation", f"{A}/gradients.py", "over_channels(total.numpy() / n_samples", "over_channels(total.numpy()"
    ),
    Fault(
        "sign",
        f"{A}/gradients.py",
        "tf.cast(1 - 2 * (steps % 2), tf.float32)",
        "tf.cast(1 - 0 * (steps % 2), tf.float32)",
    ),
    Fault(
        "off by one",
        f"{A}/occlusion.py",
        "range(0, side - size, stride), side - size]",
        "range(0, side - size, stride)]",
    ),
    Fault("sign", f"{A}/occlusion.py", "before[:, np.newaxis] - covered(", "-before[:, np.newaxis] + covered("),
    Fault("off by one", f"{A}/occlusion.py", "(place >= 0) & (place < size)", "(place >= 0) & (place <= size)"),
    Fault(
        "axis",
        f"{A}/occlusion.py",
        "rows / rows.sum(axis=0), columns",
        "rows / rows.sum(axis=1, keepdims=True), columns",
    ),
    Fault("normalisation", f"{A}/occlusion.py", "n_samples * (square - mean**2)", "n_samples * square"),
    Fault("wrong layer", f"{A}/thin_cam.py", "if stride < strides[names[0]])", "if stride <= strides[names[0]])"),
    Fault("sign", f"{A}/thin_cam.py", "reach) - hand_out(", "reach) + hand_out("),
    Fault("normalisation", f"{A}/thin_cam.py", "evidence / shares, columns)", "evidence, columns)"),
    Fault("off by one", f"{A}/receptive_fields.py", "math.floor(high) + kernel - 1", "math.floor(high) + kernel"),
    Fault("number", f"{A}/receptive_fields.py", "field + (kernel - 1) * stride", "field + kernel * stride"),
    Fault(
        "off by one",
        f"{A}/receptive_fields.py",
        "padded // 2, padded - padded // 2",
        "padded - padded // 2, padded // 2",
    ),
    # faithfulness
    Fault(
        "off by one",
        f"{F}/localisation.py",
        "(known.distance <= tolerance)).sum(axis=(1, 2)) / at",
        "(known.distance < tolerance)).sum(axis=(1, 2)) / at",
    ),
    Fault("sign", f"{F}/localisation.py", "positive = maps.clip(min=0)", "positive = abs(maps)"),
    Fault("sign", f"{F}/localisation.py", 'np.argsort(-values, kind="stable")', 'np.argsort(values, kind="stable")'),
    Fault("off by one", f"{F}/localisation.py", "before = np.cumsum(inside) - inside", "before = np.cumsum(inside)"),
    Fault("number", f"{F}/localisation.py", '"f1": 2 * share / (1 + share)', '"f1": share / (1 + share)'),
    Fault("number", f"{F}/localisation.py", "score / (2 - score)", "score / (1 + score)"),
    Fault("sign", f"{F}/perturbation.py", "np.argsort(-values[shuffled])", "np.argsort(values[shuffled])"),
    Fault(
        "off by one",
        f"{F}/perturbation.py",
        "deletion[:, -1:], between, deletion[:, :1]",
        "deletion[:, :1], between, deletion[:, -1:]",
    ),
    Fault("sign", f"{F}/perturbation.py", "np.tanh(0.5 * (wanted - others))", "np.tanh(0.5 * (others - wanted))"),
    Fault(
        "axis",
        f"{F}/infidelity.py",
        "sums[:, tops][:, :, rights] - sums[:, ends][:, :, lefts]",
        "sums[:, tops][:, :, lefts] - sums[:, ends][:, :, lefts]",
    ),
    Fault("sign", f"{F}/infidelity.py", "cross.clip(min=0) ** 2", "cross ** 2"),
    Fault("normalisation", f"{F}/infidelity.py", "(change**2).sum(axis=(1, 2))", "abs(change).sum(axis=(1, 2))"),
    Fault("number", f"{F}/randomisation.py", 'int(test["step"].max()) // 2)', 'int(test["step"].max()))'),
    Fault("sign", f"{F}/randomisation.py", 'found["kept"] <= ALIKE', 'found["kept"] >= ALIKE'),
    Fault(
        "wrong layer",
        f"{F}/randomisation.py",
        "enumerate(reversed(list(enumerate(layers))), 1)",
        "enumerate(list(enumerate(layers)), 1)",
    ),
    Fault(
        "normalisation",
        f"{F}/randomisation.py",
        "np.abs(maps).max(axis=(1, 2), keepdims=True)",
        "np.abs(maps).max(keepdims=True)",
    ),
    Fault("sign", f"{F}/shortcuts.py", "sums[counts, 0] / near[counts]", "sums[counts, 1] / near[counts]"),
    Fault(
        "number",
        f"{F}/shortcuts.py",
        "np.where(to_mark == to_crack, 0.5, 0.0)",
        "np.where(to_mark == to_crack, 1.0, 0.0)",
    ),
    Fault("sign", f"{F}/shortcuts.py", '"to_target": (~before & after)', '"to_target": (before & ~after)'),
    # evaluation
    Fault(
        "normalisation",
        f"{E}/calibration.py",
        "np.abs(gaps).sum() / weights.sum()",
        "np.abs(gaps).mean() / weights.sum()",
    ),
    Fault("sign", f"{E}/calibration.py", "both * shares[1] / shares[0]", "both * shares[0] / shares[1]"),
    Fault("sign", f"{E}/comparison.py", "lead = right.astype(float) - other", "lead = other - right.astype(float)"),
    Fault("number", f"{E}/scores.py", "f1 = 2 * right / (said + true)", "f1 = right / (said + true)"),
    Fault(
        "axis",
        f"{E}/scores.py",
        "table.diagonal(), table.sum(0), table.sum(1)",
        "table.diagonal(), table.sum(1), table.sum(0)",
    ),
    Fault(
        "sign",
        f"{E}/thresholds.py",
        "cost_of_alarm / (cost_of_alarm + cost_of_missing)",
        "cost_of_missing / (cost_of_alarm + cost_of_missing)",
    ),
    Fault("off by one", f"{E}/thresholds.py", "wanted - 1e-12]", "wanted + 1e-12]"),
    Fault("number", f"{E}/scores.py", "(area - true) ** 2 - z**2 * spread", "(area - true) ** 2 - z * spread"),
    Fault("sign", f"{E}/choosing.py", "np.argsort(-margin", "np.argsort(margin"),
    # synthetic
    Fault("off by one", f"{S}/layers.py", "int(length[-1] / 0.7) + 2", "int(length[-1] / 0.7) + 1"),
    Fault(
        "sign",
        f"{S}/layers.py",
        "across[:, 0], across[:, 1] = -along[:, 1], along[:, 0]",
        "across[:, 0], across[:, 1] = along[:, 1], along[:, 0]",
    ),
    Fault(
        "axis",
        f"{S}/rendering.py",
        "centreline[y[inside], x[inside]] = True",
        "centreline[x[inside], y[inside]] = True",
    ),
    Fault("off by one", f"{S}/rendering.py", "crack |= centreline\n", "crack &= centreline\n"),
    Fault(
        "sign",
        f"{S}/patches.py",
        "(1 + (1 if label else -1) * settings.shortcut_correlation) / 2",
        "(1 - (1 if label else -1) * settings.shortcut_correlation) / 2",
    ),
    Fault(
        "number",
        f"{S}/patches.py",
        "np.floor((number + 1) * settings.crack_share) - np.floor(number",
        "np.floor((number + 2) * settings.crack_share) - np.floor(number",
    ),
]
