# %% [markdown]
# # 12 · Inspecting a wall
#
# All pictures so far were patches, a hand's breadth of wall each. An engineer has a photograph of a whole wall, and other questions. Where do the cracks run? How long are they? How wide, and how sure is that? This notebook goes from the patch to the wall, with the same account
# that adds up. At its end the network leaves Python and goes to a phone.
#
# | | |
# |---|---|
# | **You will learn** | scale first; one exact map of a whole photograph; the answer for every window of it; lines found and invented, in metres; widths with error bars; what a network loses on its way to a phone |
# | **Time** | 45 minutes to read, about two minutes to run |
# | **Theory** | [T12 Inspecting a wall](../THEORY.md#t12-inspecting-a-wall) |
# | **Before** | [03 Evaluation](03_evaluation.ipynb), [06 Grad-CAM](06_grad_cam.ipynb), [11 Taught where to look](11_taught_where_to_look.ipynb) |

# %% tags=["parameters"]
photograph: str = ""  # a photograph of a wall, for the last look; "" draws one
tile_labels: str = ""  # a CSV file for it, with row, col and label (1: cracked) of its tiles; "" where nobody labelled
tile: int = 128  # side of these tiles [px]
mm_per_px: float = 0.5  # millimetres of wall in a pixel
n_walls: int = 8  # drawn walls whose cracks are known, and as many sound ones
side: int = 1024  # their side [px]
run: str = ""  # run folder, where results are kept; "" is runs/lesson
seed: int = 0  # fixes every random choice

# %%
import importlib.util
import io
import time
from contextlib import redirect_stdout
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from PIL import Image
from scipy import ndimage, special
from scipy.spatial import cKDTree
from sklearn.metrics import roc_auc_score

import crackviz as cv
from crackviz.claims import claim
from crackviz.contracts import check_number
from crackviz.progress import progress

explain, inspection = cv.attribution, cv.inspection
run = cv.series.open_run(run, "12_inspecting_a_wall")
check_number("mm_per_px", mm_per_px, 0, inclusive=False)
for name, value, least in (("n_walls", n_walls, 1), ("side", side, 768), ("seed", seed, 0)):
    check_number(name, value, least, whole=True)
check_number("tile", tile, 32, 256, whole=True)
if tile_labels and not photograph:
    raise cv.CrackvizError(f"tile_labels is {tile_labels!r}, but photograph is empty: name the photograph, too.")
if photograph:  # needed at the end: a mistake in a name should show now
    taken = inspection.open_photograph(photograph)
    labels = inspection.read_tile_labels(tile_labels, taken, tile) if tile_labels else None
    del taken
folder = run / "12_walls"
folder.mkdir(exist_ok=True)

# %% [markdown]
# ## Scale first
#
# A photograph has pixels; a crack has millimetres. Between them stands one number, the millimetres of wall in a pixel. It follows from how much wall the picture shows: take a camera of 4,000 pixels across.

# %%
across = np.array([0.5, 1, 2, 4])
scales = pd.DataFrame({"mm in a pixel": across * 1000 / 4000}, index=pd.Index(across, name="wall across [m]"))
for crack in (0.1, 0.2, 0.3, 0.4):
    scales[f"a crack of {crack} mm [px]"] = crack / scales["mm in a pixel"]
scales.round(2)

# %% [markdown]
# Rules for concrete speak of widths such as 0.2 and 0.3 mm. (EN 1992-1-1 and ACI 224R name them as limits for *calculated* widths.) A crack of 0.2 mm is under a pixel from one metre of wall in one picture on, one of 0.3 mm from two. It may
# still show, as a faint line, but its width can't be measured. So the question "how far away?" comes before any network.
#
# Here is a wall. Nobody built it: the renderer drew it, so every crack on it is known.


# %%
def draw(number, size, sound=False, **changes):
    """Draw a wall and keep its photograph; return its path, what is true of it, and its cracks' x, y, width [px]."""
    chosen = {"crack_width": (1.0, 9.0), "distractor_rate": 0.2, "seed": seed + 40} | changes
    settings = cv.synthetic.Settings(**chosen)
    made = cv.synthetic.photograph(number, settings, size=size, without="crack" if sound else "")
    path = folder / f"wall_{number}{'_sound' * sound}.png"
    Image.fromarray(made.image).save(path)
    known = np.empty((0, 3)) if sound else cv.synthetic.centre_lines(number, settings, size=size)
    x, y = known[:, :2].astype(int).T
    return path, made, known[ndimage.binary_dilation(made.centreline)[y, x]]  # not what a cable covers


path, wall, known = draw(0, (1152, 768))
print(
    f"{wall.image.shape[1] * mm_per_px / 1000:.2f} m × {wall.image.shape[0] * mm_per_px / 1000:.2f} m of wall", end=""
)
print(f", {wall.mask.mean():.2%} of its pixels are crack, {len(known) * 0.7 * mm_per_px / 1000:.1f} m of it")

# %%
thick = known[np.argmin(abs(known[:, 2] - 3))]
x, y = thick[:2].astype(int)
left, top = np.clip([x - 24, y - 16], 0, [wall.image.shape[1] - 48, wall.image.shape[0] - 32])
figure, axes = plt.subplots(1, 2, figsize=(12, 4.4), layout="constrained")
cv.plots.LinesDisplay.from_lines(wall.image, [], mm_per_px=mm_per_px, title="the wall", ax=axes[0])
close = wall.image[top : top + 32, left : left + 48]
cv.plots.LinesDisplay.from_lines(close, [], mm_per_px=mm_per_px, title=f"a crack of {thick[2]:.0f} px", ax=axes[1])
cv.plots.square(axes[0], (y, x), 64, color="black")
_ = cv.series.save_figure(
    run,
    figure,
    "12_scale",
    alt="A drawn wall with a black square on it, and that square enlarged: a crack some pixels wide, with soft edges.",
)

# %% [markdown]
# The right picture is the square of the left one. There you see what the network and every ruler has to work with: a crack of some pixels, with soft edges.
#
# ## One map of the whole wall
#
# A network that ends in an average needs no patch. Its last map has a cell for every pixel, whatever the size of the picture. The map of notebook 06 works for a whole photograph as it does for a patch. But a photograph of 16 million pixels takes gigabytes that way, so it is cut into tiles.
#
# Cut how? A cell sees its surroundings ([receptive field](../THEORY.md#g-receptive-field), T5). A tile therefore needs a margin as wide as the network can see. Then its inner cells can't know that they were cut out.

# %%
model = cv.models.load_pretrained("trace_cnn")
mapper = inspection.Mapper(model, tile=256)
around = mapper.surroundings
print(f"the map is that of layer {around.layer!r}; a cell sees up to {around.reach} px beyond itself,")
print(f"so each tile is read with {around.margin} px around it and begins at a multiple of {around.period} px")

# %%
photo = inspection.Photograph(path)
evidence = mapper(photo, np.empty((photo.height, photo.width), np.float32))
part = wall.image[np.newaxis, :768, :768].astype(np.float32) / 255
at_once = explain.grad_cam(mapper.model, part, upsample=False)[0] * part[0, ..., 0].size
inner = np.s_[: 768 - around.margin, : 768 - around.margin]  # beyond it, the wall goes on and the part doesn't
off = np.abs(evidence[:768, :768] - at_once)[inner].max()

# %%
claim(
    "T12.1",
    "tiles read with their surroundings give the map of one pass",
    off / np.abs(evidence).max(),
    "<",
    1e-5,
    identity=True,
)

# %% [markdown]
# And without the margin? Then every tile ends in nothing, and the network sees an edge where the wall has none.

# %%
tiles = part[0].reshape(6, 128, 6, 128, 3).swapaxes(1, 2).reshape(36, 128, 128, 3)
alone = explain.grad_cam(mapper.model, tiles, upsample=False) * 128**2
seams = np.abs(alone.reshape(6, 6, 128, 128).swapaxes(1, 2).reshape(768, 768) - at_once)
largest = inspection.largest(mapper)  # what a cell can hold at most

figure, axes = plt.subplots(1, 3, figsize=(13, 4.6), layout="constrained")
shown = {
    "the wall": part[0],
    "its map": at_once / largest,
    "tiles cut without surroundings:\nhow far they are off": seams / largest,
}
for axis, (title, picture) in zip(axes, shown.items(), strict=True):
    drawn = axis.imshow(picture, cmap="inferno", vmin=0, vmax=1)
    axis.set_title(title, fontsize=14)
    axis.axis("off")
bar = figure.colorbar(drawn, ax=axes, fraction=0.03)
bar.set_label("share of the largest value", fontsize=13)
_ = cv.series.save_figure(
    run,
    figure,
    "12_tiles",
    alt="A part of the wall, its map, and how far tiles that were cut without surroundings are off: along their seams.",
)

# %%
claim(
    "T12.2",
    "tiles cut without surroundings miss by over a fifth of the largest value somewhere",
    seams[inner].max() / largest,
    ">",
    0.2,
)

# %% [markdown]
# ## The answer for every window
#
# The [logit](../THEORY.md#g-logit) of a patch is the mean of its map, plus the bias. So one map holds the answers for all patches of the wall at once, wherever they begin: each is a mean over a square. With the right table it costs four
# numbers a square. The *integral image* (Crow 1984) holds, for each place, the sum of all that is above and to the left:

# %%
integral = np.pad(evidence.cumsum(0, dtype=float).cumsum(1), ((1, 0), (1, 0)))


def window_logit(top, left, size=128):
    """Return the logit of a window, from four numbers."""
    low, right = top + size, left + size
    total = integral[low, right] - integral[top, right] - integral[low, left] + integral[top, left]
    return total / size**2 + mapper.bias


steps = np.arange(0, 768 - 127, 64)
by_hand = np.array([[window_logit(top, left) for left in steps] for top in steps])
library = inspection.window_logits(evidence[:768, :768], mapper.bias, step=64)

# %%
claim(
    "T12.3",
    "four numbers of the integral image give the mean of the map over any window",
    max(
        np.abs(by_hand - library).max(),
        abs(by_hand[2, 3] - evidence[128:256, 192:320].mean(dtype=float) - mapper.bias),
    ),
    "<",
    1e-6,
    identity=True,
)

# %% [markdown]
# Is that what the network would say of the patch, cut out and asked alone? Nearly. Alone, its edges are edges to the network, as with the tiles above. So we ask it.

# %%
cut = np.stack([part[0, top : top + 128, left : left + 128] for top in steps for left in steps])
began = time.perf_counter()
asked = explain.logits(model, cut).ravel()
print(f"{len(cut)} windows cut out and asked: {time.perf_counter() - began:.1f} s")
began = time.perf_counter()
every = inspection.window_logits(evidence, mapper.bias, step=8)
print(f"{every.size:,} windows from the map: {time.perf_counter() - began:.2f} s")
alike = np.corrcoef(asked, by_hand.ravel())[0, 1]

# %%
claim("T12.4", "the windows' logits go along with those of patches cut out", alike, ">", 0.95)

# %%
figure, axis = plt.subplots(figsize=(8, 4.8), layout="constrained")
drawn = axis.imshow(special.expit(every), cmap="inferno", vmin=0, vmax=1)
axis.set_title("the same wall, for each window of 128 px: P(crack)", fontsize=14)
axis.axis("off")
figure.colorbar(drawn, ax=axis, fraction=0.04)
_ = cv.series.save_figure(
    run,
    figure,
    "12_windows",
    alt="For each window of 128 px on the wall the probability of a crack, as a colour.",
)

# %% [markdown]
# ## From the map to lines
#
# An engineer wants lines, not a haze. `inspect` draws them. What stands out in the map, and is strong somewhere, is thinned to its middle line; short spurs are cut off, small gaps bridged, and what is left is smoothed. Each step has its rule, and each rule a number in `inspection.Rules`. The numbers were chosen on other drawn
# walls, never on these.

# %%
found = inspection.inspect(path, mm_per_px=mm_per_px)
counted = set(found.counted.index)
display = cv.plots.LinesDisplay.from_lines(
    wall.image, found.lines, counted=counted, mm_per_px=mm_per_px, title="lines; the dotted ones don't count"
)
_ = cv.series.save_figure(
    run,
    display.figure_,
    "12_lines",
    alt="The wall with the lines that were found on it, numbered; dotted ones don't count.",
)
columns = ["length_mm", "width_mm", "widest_low_mm", "widest_mm", "widest_high_mm", "orientation_deg", "class"]
found.cracks.loc[:, [*columns, "straight", "judged"]].head(8).round(2)

# %% [markdown]
# ## Lines found, lines invented
#
# How good is that? Count metres. Of the cracks, how many metres have a line within 4 px? And how many metres of line lie where there is no crack? We draw some walls with cracks and some without, all with joints, stains and shadows, and compare.

# %%
near = 4.0  # px between a line and the truth
walls = dict.fromkeys((number, sound) for number in range(1, n_walls + 1) for sound in (False, True))
for number, sound in progress(walls, "inspecting walls", len(walls), unit="wall"):
    walls[number, sound] = (
        *draw(number, (side, side), sound),
        inspection.inspect(folder / f"wall_{number}{'_sound' * sound}.png", mm_per_px),
    )


# %%
def compare(truth, cracks, result):
    """Return whether each point of the cracks has a line near it, and the stretches that count, with what is true."""
    kept = [line for number, line in result.lines if number in set(result.counted.index)]
    reached = np.zeros(len(cracks), bool)
    if kept and len(cracks):
        reached = cKDTree(np.concatenate(kept)).query(cracks[:, :2])[0] <= near
    stretches = result.points[result.points["crack"].isin(result.counted.index)].copy()
    away = ndimage.distance_transform_edt(~truth.mask) if truth.mask.any() else np.full(truth.mask.shape, np.inf)
    x, y = stretches[["x", "y"]].to_numpy().round().astype(int).clip(0, side - 1).T
    return reached, stretches.assign(invented=away[y, x] > near)


compared = {key: compare(truth, cracks, result) for key, (_, truth, cracks, result) in walls.items()}
cracks = np.concatenate([walls[key][2] for key in walls if not key[1]])
reached = np.concatenate([compared[key][0] for key in walls if not key[1]])
classes = pd.cut(cracks[:, 2], [0, 1, 2, 3, 5, 30], right=False)
table = pd.DataFrame({"found": reached, "metres": 0.7 * mm_per_px / 1000}).groupby(classes, observed=True)
table.agg(found=("found", "mean"), metres=("metres", "sum")).rename_axis("true width [px]").round(2)

# %%
recall = reached[cracks[:, 2] >= 2].mean()
print(f"{len(cracks) * 0.7 * mm_per_px / 1000:.1f} m of crack; of what is 2 px wide or more, {recall:.0%} has a line")

# %%
claim("T12.5", "of the cracks from 2 px up, over half of the metres are found", recall, ">", 1 / 2)

# %% [markdown]
# And invented? On a wall with many cracks, some centimetres of false line don't matter. So we count them by area: *false metres for each square metre*.

# %%
area = (side * mm_per_px / 1000) ** 2
rows = {}
for kind, sound in (("cracked walls", False), ("sound walls", True)):
    told = pd.concat([compared[key][1] for key in compared if key[1] == sound])
    metres = told["length_px"] * mm_per_px / 1000
    rows[kind] = {
        "area [m²]": n_walls * area,
        "lines [m]": metres.sum(),
        "invented [m]": metres[told["invented"]].sum(),
    }
invented = pd.DataFrame(rows).T
invented["invented, m for each m²"] = invented["invented [m]"] / invented["area [m²]"]
invented.round(3)

# %%
real_share = 1 - invented.loc["cracked walls", "invented [m]"] / invented.loc["cracked walls", "lines [m]"]
claim("T12.6", "on these cracked walls over nine tenths of the metres drawn are crack", real_share, ">", 0.9)

# %% [markdown]
# Are nine of ten metres right, then? On *these* walls. They have metres of crack on each square metre. Most walls of most buildings have hardly any. There the true metres are few, and few false ones make up a large part: prevalence again, as in notebook 03 ([T3](../THEORY.md#t3-evaluation)).
# With $d$ metres of crack on a square metre, a share $r$ of them found, and $f$ false metres, the share of the drawn lines that is crack is $rd / (rd + f)$. Here $f$ is counted on both kinds of walls.

# %%
found_share = reached.mean()
false_rate = invented["invented [m]"].sum() / invented["area [m²]"].sum()
# none invented in so much area proves little: then three lines of the shortest length, as the rule of three has it
bound = 3 * inspection.Rules().shortest * mm_per_px / 1000 / invented["area [m²]"].sum()
false_rate = max(false_rate, bound)
density = np.geomspace(0.01, 10, 61)
here = len(cracks) * 0.7 * mm_per_px / 1000 / (n_walls * area)
figure, axis = plt.subplots(figsize=(8, 4.4), layout="constrained")
axis.semilogx(density, 100 * found_share * density / (found_share * density + false_rate), color="#0173b2", linewidth=3)
axis.axvline(here, color="black", linestyle=":", linewidth=2, label="these walls")
axis.set_xlabel("cracks on the wall [m for each m²]", fontsize=14)
axis.set_ylabel("of the lines drawn,\nshare that is crack [%]", fontsize=14)
axis.set_ylim(0, 103)
axis.set_xticks([0.01, 0.1, 1, 10], ["0.01", "0.1", "1", "10"])
axis.tick_params(labelsize=13)
axis.legend(fontsize=13, frameon=False)
axis.grid(alpha=0.3)
_ = cv.series.save_figure(
    run,
    figure,
    "12_prevalence",
    alt="The share of the drawn lines that is crack, against the metres of crack on a square metre: it falls to the left, where cracks are rare.",
)
rare = found_share * 0.05 / (found_share * 0.05 + false_rate)
print(f"on a wall with 5 cm of crack for each m², {rare:.0%} of the lines drawn would be crack")

# %% [markdown]
# ## How wide?
#
# A thin line is harder to measure than to see. The camera blurs it. Here is a profile across a line: a wall of grey 0.6, a crack of grey 0.2, seen through a blur of 0.8 px. One rule reads the width at half of the depth. Another sums up the missing light and divides it by the depth of a
# crack that is wide enough to be dark.

# %%
fine = 0.01  # px
place = np.arange(-15, 15, fine)
rules = {}
for width in (0.5, 1.0, 2.0, 4.0):
    grey = np.where(np.abs(place) < width / 2, 0.2, 0.6)
    seen = ndimage.gaussian_filter1d(grey, 0.8 / fine)
    dark = 0.6 - seen
    rules[width] = {
        "at half depth": (dark > dark.max() / 2).sum() * fine,
        "missing light over depth": dark.sum() * fine / (0.6 - 0.2),
    }
rules = pd.DataFrame(rules).T.rename_axis("true width [px]")
rules.round(2)

# %%
claim(
    "T12.7",
    "blur makes a line of 1 px look at least 1.8 px wide at half depth, and takes none of its missing light",
    rules.loc[1.0, "at half depth"],
    ">",
    1.8,
    provided=abs(rules.loc[1.0, "missing light over depth"] - 1) < 0.03,
    identity=True,
)

# %% [markdown]
# `inspect` takes the first rule from 3 px up, and the second below, where it says *estimated*. The second needs the crack's depth, and takes it from the wide stretches of the same crack. The map is a second witness, and where the two differ, the interval gets wider. Under a pixel it only says *thinner than*. Each width comes with an interval that is meant to hold the
# truth 95 times in 100. Does it? On drawn walls one can look. And is it narrow enough to be of use? An interval from nothing to a metre would always hold the truth, and say nothing.


# %%
def true_widths(cracks, stretches):
    """Return the true width beside each stretch [px], NaN where no crack is near it or its width isn't one."""
    apart, nearest = cKDTree(cracks[:, :2]).query(stretches[["x", "y"]].to_numpy(), k=31)
    widths = np.median(cracks[nearest, 2], axis=1)
    return np.where(apart[:, 0] <= 3, widths, np.nan)


measured = pd.concat(
    stretches.assign(true=true_widths(walls[key][2], stretches))
    for key, (_, stretches) in compared.items()
    if not key[1] and len(stretches)
)
measured = measured[measured["true"].notna() & (measured["kind"] != "unknown")]
measured["held"] = measured["true"].between(measured["low_px"], measured["high_px"])
measured["off"] = (measured["width_px"] - measured["true"]).abs()
measured["share"] = (measured["high_px"] - measured["low_px"]) / measured["width_px"]
measured.groupby("kind").agg(
    stretches=("true", "size"),
    median_off_px=("off", "median"),
    intervals_that_hold=("held", "mean"),
    interval_over_width=("share", "median"),
).round(3)

# %%
sure = measured[measured["kind"] != "thinner than"]
scale = mm_per_px
display = cv.plots.WidthsDisplay.from_intervals(
    scale * sure["true"], scale * sure["width_px"], scale * sure["low_px"], scale * sure["high_px"], unit="mm"
)
_ = cv.series.save_figure(
    run,
    display.figure_,
    "12_widths",
    alt="Measured against true widths, with error bars, and the diagonal on which both agree.",
)

# %%
claim(
    "T12.8",
    "of the 95 % intervals over 85 in 100 hold the true width, and half of them are no wider than one and a half widths",
    measured["held"].mean(),
    ">",
    0.85,
    provided=measured["share"].median() < 1.5,
)

# %% [markdown]
# Error bars are found out by such a count, and only by it. On a real wall nobody knows the truth to a tenth of a pixel, so there it can't be counted. What holds here holds there as far as real cracks have edges and depths like drawn ones. So measure some of them with a crack gauge.
#
# ## What looks wrong
#
# **A joint.** It is dark, thin and longer than any crack. Here is a sound wall with two joints, drawn into the picture by hand: one runs level, one aslant.

# %%
_, plain_wall, _ = draw(1, (side, side), sound=True)
down, along = np.mgrid[:side, :side] - side / 2
angle = np.radians(35)
joints = {"level": down + side / 4, "aslant": down * np.cos(angle) - along * np.sin(angle) - side / 8}
light = np.ones((side, side))
for away in joints.values():
    light[np.abs(away) < 0.8] = 0.6
jointed = (plain_wall.image * ndimage.gaussian_filter(light, 0.8)[..., np.newaxis]).round().astype(np.uint8)
Image.fromarray(jointed).save(folder / "joint.png")
joint = inspection.inspect(folder / "joint.png", mm_per_px)
along_it = {name: joint.map[np.abs(away) < 1].mean() / largest for name, away in joints.items()}
for name, share in along_it.items():
    print(f"joint {name}: the map along it has {share:.0%} of its largest value")
print(f"{len(joint.counted)} cracks counted")

# %% [markdown]
# A network knows joints as it has met them, and most that were drawn for it run level or upright. Of the other one it isn't sure. An inspection draws a line where the map is nearly full along the whole of it, so it asks for more than doubt. What if it asked for less?

# %%
doubt = inspection.Choices(rules=inspection.Rules(strong=0.5, mean=0.5, branch=0.4))
doubtful = inspection.inspect(folder / "joint.png", mm_per_px, choices=doubt)
display = cv.plots.LinesDisplay.from_lines(
    jointed[::2, ::2],
    [(number, line / 2) for number, line in doubtful.lines],
    counted=set(doubtful.counted.index),
    mm_per_px=2 * mm_per_px,
    title="two joints; less evidence makes a line",
)
_ = cv.series.save_figure(
    run,
    display.figure_,
    "12_joint",
    alt="A sound wall with two joints, one level and one aslant, and the lines that were drawn along them.",
)
doubtful.cracks[["length_mm", "evidence", "straight"]].round(2)

# %%
straight = doubtful.cracks.loc[doubtful.cracks["straight"], "length_px"].sum()
claim(
    "T12.9",
    "of a joint that runs aslant the map is in doubt, more than of a level one; a line along it is straight, and not counted",
    along_it["aslant"] - along_it["level"],
    ">",
    0,
    provided=bool(straight > 0.6 * side and straight > 3 * doubtful.counted["length_px"].sum()),
)

# %% [markdown]
# The map has no idea of straightness. A rule has: what strays from its chord by less than a fiftieth is listed as *straight* and not counted. The rule has its price. A crack that follows a joint, or a very straight one, isn't counted either. So the list of straight
# lines is there to be looked at.
#
# **From twice as far.** Take the same walls at half of the pixels, as from twice the distance. Nothing else has changed.

# %%
halves, found_half = [], []
for number in range(1, n_walls + 1):
    with Image.open(walls[number, False][0]) as whole:
        whole.resize((side // 2, side // 2), Image.Resampling.LANCZOS).save(folder / "half.png")
    result = inspection.inspect(folder / "half.png", 2 * mm_per_px)
    lines = [line for n, line in result.lines if n in set(result.counted.index)]
    truth = walls[number, False][2]
    met = cKDTree(2 * np.concatenate([np.full((1, 2), -99.0), *lines])).query(truth[:, :2])[0] <= near
    found_half.append(met)
found_half = np.concatenate(found_half)
pd.DataFrame({"near": reached, "from twice as far": found_half}).groupby(classes, observed=True).mean().rename_axis(
    "width in the near picture [px]"
).round(2)

# %%
thin = (cracks[:, 2] >= 1) & (cracks[:, 2] < 3)
lost = 1 - found_half[thin].mean() / reached[thin].mean()
print(f"from twice as far, {max(lost, 0):.0%} of the cracks of 1 to 3 px that were found near by are lost")

# %% [markdown]
# How many are lost hangs on the walls: on some it is many, on others none, and wide cracks may even be found more often. So this is a number, and no claim. Nothing in the far picture says what is lost. The lines that are left look as sure as before. Only the scale tells: `inspect` says *too far* where a crack of the width that matters would be under a pixel.
#
# **A shadow.** What do the invented lines lie on? The renderer knows what else it has drawn.

# %%
lies_on = []
for key, (_, stretches) in compared.items():
    for x, y, length in stretches.loc[stretches["invented"], ["x", "y", "length_px"]].to_numpy():
        at = np.s_[max(int(y) - 4, 0) : int(y) + 5, max(int(x) - 4, 0) : int(x) + 5]
        names = [name for name, mask in walls[key][1].distractors.items() if mask[at].any()]
        lies_on.append(
            {
                "invented line lies on": names[0].replace("_", " ") if names else "plain wall",
                "m": length * mm_per_px / 1000,
            }
        )
pd.DataFrame(lies_on or [{"invented line lies on": "nothing: none was invented", "m": 0.0}]).groupby(
    "invented line lies on"
).sum().sort_values("m", ascending=False).round(3)

# %% [markdown]
# ## Where only tiles are labelled
#
# All this was counted on drawn walls. For photographs of real walls nobody has the metres. What there is, at best, is a label for each tile: somebody has looked, and said cracked or not. SDNET2018's walls were labelled so, by tiles of 256 px. With that one can count how often a cracked tile gets a higher logit than a
# sound one ([ROC-AUC](../THEORY.md#g-roc-auc)), and no more: nothing about metres, nothing about widths.

# %%
if photograph:
    last, origin = Path(photograph), "a photograph of yours"
else:
    last, truth, _ = draw(9, (1152, 768), seed=seed + 80, crack_width=(1.5, 6.0), contrast=0.8)
    origin = "a drawn one, of which we pretend to know the labels of its tiles and nothing else"
    high, wide = 768 // tile, 1152 // tile
    # whoever labels a tile sees a crack that runs through a quarter of it
    cells = truth.centreline[: high * tile, : wide * tile].reshape(high, tile, wide, tile).sum((1, 3)) > tile / 4
    labels = pd.DataFrame(
        [(*place, cells[place]) for place in np.ndindex(cells.shape)], columns=["row", "col", "cracked"]
    )
result = inspection.inspect(last, mm_per_px)

# %%
auc, said = np.nan, origin
if labels is None:
    said += ", whose tiles have no labels"
elif labels["cracked"].nunique() < 2:
    said += f", whose {len(labels)} labelled tiles are all of one kind"
else:
    of_tiles = inspection.window_logits(result.map, result.bias, tile)
    auc = roc_auc_score(labels["cracked"], of_tiles[labels["row"], labels["col"]])
    said += f": {labels['cracked'].sum()} of {len(labels)} tiles are cracked; ROC-AUC of their logits {auc:.3f}"
print(said)
step = max(1, result.width // 1600)
smaller = inspection.Photograph(last).rows(0, result.height)[::step, ::step]
display = cv.plots.LinesDisplay.from_lines(
    smaller,
    [(number, line / step) for number, line in result.lines],
    counted=set(result.counted.index),
    mm_per_px=step * mm_per_px,
    title=last.name if photograph else "a wall whose tiles alone are labelled",
)
_ = cv.series.save_figure(
    run,
    display.figure_,
    "12_tiles_labelled",
    alt="The last wall, with the lines that were found on it.",
)

# %%
claim(
    "T12.10",
    "a tile with a crack has a higher logit than one without in over seven of ten pairs",
    auc,
    ">",
    0.7,
    unless=f"another photograph is another question; the last one was {said}" if photograph else "",
)

# %% [markdown]
# A label of a tile is somebody's eye at some distance, so it's no truth to a pixel: a hairline is easily called sound. Here a tile counts as cracked where a crack runs through a quarter of its side or more. What becomes of SDNET2018's photographs, `python benchmarks/inspection.py real path/to/data` counts.
#
# ## Out of the lab
#
# An engineer stands before the wall with a phone. The map needs no [gradient](../THEORY.md#g-gradient), nor Python: at the last layer it is a weighted sum of channels, cell by cell, and that is a convolution of 1 × 1. So network *and* map fit into one file, with two outputs. `export` writes it, runs it by its own
# program, and compares it with Keras, picture by picture. A file that is off isn't kept.
#
# Four kinds of file: a *SavedModel* for TensorFlow, one *page* for a browser, *LiteRT* for phones, and *ONNX* for nearly everything else. The last two need packages of their own (`pip install 'crackviz[export]'`), and the page is checked where there is a Chromium. What can't be made or checked here, the table says.

# %%
small = cv.models.load_pretrained("local_cnn")
has = {"litert": "ai_edge_litert", "onnx": "onnxruntime", "saved_model": "", "html": ""}
endings = {"litert": "crack.tflite", "onnx": "crack.onnx", "saved_model": "crack_saved", "html": "crack.html"}
made = {}
for kind, package in has.items():
    if not package or importlib.util.find_spec(package):
        with redirect_stdout(io.StringIO()):  # it would say what the table says
            made[kind] = cv.export(small, folder / endings[kind], format=kind, images=cut[::16])
pd.DataFrame(
    {
        kind: {
            "kB": round(file.size / 1000),
            "largest difference, logit": f"{file.agreement.logit:.0e}" if file.agreement else "not run: no Chromium",
            "largest difference, cell": f"{file.agreement.map:.0e}" if file.agreement else "not run",
            "decisions that differ": file.agreement.decisions if file.agreement else "not run",
        }
        for kind, file in made.items()
    }
    | {kind: {"kB": "needs crackviz[export]"} for kind in has if kind not in made}
).T.fillna("")

# %%
checked = [file.agreement for file in made.values() if file.agreement]
claim(
    "T12.11",
    "every file that could be run here gives Keras' map to within a hundred-thousandth of a logit",
    max(agreement.map for agreement in checked),
    "<",
    1e-5,
    provided=max(agreement.logit for agreement in checked) < 1e-3,
)

# %% [markdown]
# Open `12_walls/crack.html` in the run folder, by a double click: it needs no server and no connection. Sent to a phone, it takes a picture with the camera and draws the map over it.
#
# ### What fewer bits cost
#
# Phones like whole numbers. LiteRT can keep the weights alone in 8 bits ("dynamic"), or weights and [activations](../THEORY.md#g-activation) ("int8"). The file gets smaller, and faster on some phones. What does the *account* say? Each cell of the map is rounded, and there are thousands of them:

# %%
costs, files = {}, {}
if "litert" in made:
    with redirect_stdout(io.StringIO()):
        for bits in ("dynamic", "int8"):
            files[bits] = cv.export(small, folder / "fewer.tflite", quantize=bits, images=cut[::4])
    for bits, file in {"float32": made["litert"], **files}.items():
        costs[bits] = {
            "kB": round(file.size / 1000),
            "logit off": file.agreement.logit,
            "map and bias miss the logit by": file.agreement.sum,
            "decisions that differ": file.agreement.decisions,
        }
    print(pd.DataFrame(costs).T.round(5).to_string())
else:
    print("LiteRT isn't installed here: pip install 'crackviz[export]'")

# %%
claim(
    "T12.12",
    "full int8 breaks the account: map and bias miss the logit by over 0.001, and by under 0.0001 in float32",
    costs["int8"]["map and bias miss the logit by"] if costs else float("nan"),
    ">",
    0.001,
    provided=not costs or costs["float32"]["map and bias miss the logit by"] < 1e-4,
    unless="" if costs else "LiteRT isn't installed",
)

# %% [markdown]
# The decisions may all be the same, and a test of accuracy would pass it. But the map no longer adds up to the answer that it explains, so it is no account any more. Where the map matters, keep float32, or the weights alone in 8 bits.
#
# ## To remember
#
# - Scale comes first: what is under a pixel can be seen at best, and never measured.
# - A map that adds up has no patch in it. One pass with margins answers for all windows of a wall.
# - Count in metres, false ones for each square metre. How much these weigh hangs on how many true ones a wall has.
# - An error bar is a claim about repetition. Count how often it holds, where the truth is known.
# - A file that gives the same decisions may still explain them wrongly. Test the sum.
#
# **Two questions**
#
# <details><summary>The report of a wall lists 4.2 m of cracks at 0.5 mm in a pixel. The same wall, from twice the distance: 2.9 m. Which one is right?</summary>
#
# Neither is the whole. From far, hairlines vanish; from near, more false lines may come. Metres of crack have a meaning only together with the scale, and with the width from which on they were counted.
#
# </details>
#
# <details><summary>95 % intervals are reported for 40 cracks, and all 40 hold when checked with a gauge. Is that good?</summary>
#
# Good for the user, but not what was said: two of forty should miss. All of forty happens in one of eight such checks, though. If it goes on, the intervals are too wide.
#
# </details>
#
# ## Exercises
#
# ★ is read off, ★★ takes a line or two, ★★★ is written. Put your answer in place of the dots and run the cell: it tells you whether it is right, or what is wrong with it.
#
# **12.1** ★ A crack of 0.3 mm shall be 3 px wide in a picture of 4,000 px across. How many millimetres of wall may a pixel show, and how many metres the picture? Give the two numbers in an array.

# %% tags=["exercise"]
answer = ...
cv.series.exercise("12.1", answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# Three pixels share 0.3 mm; 4,000 of them show 400 mm.
#
# ```python
# answer = np.array([0.3 / 3, 4000 * 0.3 / 3 / 1000])
# ```
#
# </details>
#
# **12.2** ★★ On another wall there are 0.05 m of crack for each m². Nine tenths of them are found, and 0.02 m of line for each m² are invented. Which share of the lines drawn is crack?

# %% tags=["exercise"]
answer = ...
cv.series.exercise("12.2", answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# The formula above, $rd / (rd + f)$.
#
# ```python
# answer = 0.9 * 0.05 / (0.9 * 0.05 + 0.02)
# ```
#
# </details>
#
# **12.3** ★★★ Write `def answer(profile, depth):` that returns a crack's width in pixels by the second rule. `profile` has the brightness across it, one value a pixel, and the sound wall around it has brightness 1. `depth` (one number in an array of its own) is how dark a wide stretch of the crack gets, as a difference to the wall.

# %% tags=["exercise"]
answer = ...
cv.series.exercise("12.3", answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# Blur moves the missing light about, and takes none of it away.
#
# ```python
# def answer(profile, depth):
#     return (1 - profile).sum() / depth[0]
# ```
#
# </details>
#
# **To go on**, without a check:
#
# 1. Set `inspection.Rules(mean=0.6)` in the cell that inspects the walls. What is found more, and what is invented?
# 2. Set `inspection.Errors(estimated=0.15, estimated_share=0.1)`. How many intervals hold the truth now? Who would be harmed by such a report?
#
# <details><summary>Solutions</summary>
#
# 1: the share found rises a little among thin cracks; the false metres rise more, most of all on sound walls, so that the curve of the lines that are crack falls. 2: fewer; those who plan by the
# upper end of the interval, since the crack is wider than it says more often than one time in forty.
#
# </details>

# %%
cv.series.write_results(
    run,
    "12_inspecting_a_wall",
    {
        "headlines": ["found from 2 px", "invented m per m2", "intervals that hold"],
        "found from 2 px": recall,
        "invented m per m2": invented["invented [m]"].sum() / invented["area [m²]"].sum(),
        "intervals that hold": measured["held"].mean(),
        "median width error px": measured["off"].median(),
        "window logits, correlation": alike,
        "tiles, ROC-AUC": auc,
    },
)
