# %% [markdown]
# # 07 · Attribution methods
#
# Nineteen methods answer the question "why did the network say so?", and they give different answers. Here they stand side by side: what each
# one asks the network, what it costs, what its numbers mean, and where it fools you.
#
# | | |
# |---|---|
# | **You will learn** | the CAM family, gradients, integrated gradients and DeepLIFT, occlusion, RISE and LIME; where SHAP, LRP and DeepLIFT are one map; which add up; which agree; what they cost |
# | **Time** | an hour to read, two minutes to run |
# | **Theory** | [T7 Attribution methods](../THEORY.md#t7-attribution-methods) |
# | **Before** | [06 Grad-CAM](06_grad_cam.ipynb) |

# %% tags=["parameters"]
data: str = ""  # folder with pictures; "" is synthetic concrete, made here
crack_class: str = ""  # the folder whose pictures show cracks, where its name doesn't say so
groups: str = ""  # which pictures show one place: "folder:1", a pattern, a CSV file; "" goes by file names
run: str = ""  # run folder, where results are kept; "" is runs/lesson
network: str = ""  # a trained network: a file, a run folder, or the name of a shipped one; "" takes the run's
image_size: int = 128  # side to which pictures are resized [px]
max_images: int = 4000  # pictures used, drawn by whole groups; 0 takes all
n_images: int = 3  # pictures explained here, two of them cracked
n_masks: int = 400  # random masks of RISE: as many passes for each picture
seed: int = 0  # fixes every random choice

# %%
import time

import keras
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
import tensorflow as tf
from scipy import ndimage, stats

import crackviz as cv
from crackviz.claims import claim
from crackviz.contracts import check_number
from crackviz.progress import progress

plt.rcParams["figure.dpi"] = 92  # keeps the notebook small
explain = cv.attribution  # the methods live here
run = cv.series.open_run(run, "07_attribution_methods")
for name, value in {"n_images": n_images, "n_masks": n_masks}.items():
    check_number(name, value, 1, whole=True)
net = cv.models.find(run, "gap_cnn_deep", network)
model = net.load()
image_size = cv.models.size_for(model, image_size)
table = cv.data.prepare(
    data, run / "split.csv", max_images=max_images, seed=seed, crack_class=crack_class, groups=groups
)

# %%
fair = cv.training.unseen(net, table)  # of the test part, and new to the network
asked = fair.sample(frac=1, random_state=seed).head(400)
some = cv.evaluation.examples(asked, explain.logits(model, cv.data.load_images(asked["path"], image_size)), n_images)
images = cv.data.load_images(some["path"], image_size)
cracked = some["label"].to_numpy() == 1
logits = explain.logits(model, images)
more = cv.data.load_images(asked["path"].head(16), image_size)  # drawn nowhere: claims ask these as well
more_logits = explain.logits(model, more)
print(net.origin)

# %% [markdown]
# The pictures are chosen as in notebook 06: the two surest cracks and the surest sound patch (with a larger `n_images` one with a distractor, and a mistake), each from another wall as long as there is one. Where a statement is about
# networks and not about these pictures, sixteen more are asked.
#
# ## One layer, two maps
#
# All methods of the CAM family take a layer's activations $A_{ijc}$ and the gradients $G_{ijc} = \partial z / \partial A_{ijc}$, and add up products of
# the two. They differ in a line: Grad-CAM averages $G$ over the cells, HiResCAM doesn't, XGrad-CAM averages it weighed by $A$, LayerCAM
# drops its negative part, and Grad-CAM++ does so too, with an average of its own.
#
# At the last layer of our network $G$ is the same in every cell. The average of equal numbers is that number, so averaging changes nothing.

# %%
last = {
    name: explain.METHODS[name](model, images, upsample=False) for name in ("cam", "grad_cam", "hires_cam", "xgrad_cam")
}
claim(
    "T7.1",
    "at the layer that feeds the pooling CAM, Grad-CAM, HiResCAM and XGrad-CAM are one map",
    max(np.abs(maps - last["cam"]).max() for maps in last.values()) / np.abs(last["cam"]).max(),
    "<",
    1e-4,
    identity=True,
)

# %% [markdown]
# LayerCAM and Grad-CAM++ are one map there as well, but another: only the channels that speak *for* the class. Nothing is lost, though. What they leave
# out is what they show for the other class.

# %%
for_crack = explain.layer_cam(model, images, upsample=False)
for_none = explain.layer_cam(model, images, target="no_crack", upsample=False)
plus_plus = explain.grad_cam_plus_plus(model, images, upsample=False)
claim(
    "T7.2",
    "Grad-CAM++ and LayerCAM are its part of positive weights, and the parts of both classes make it up",
    np.abs(for_crack - for_none - last["cam"]).max() / np.abs(last["cam"]).max(),
    "<",
    1e-3,
    provided=np.allclose(plus_plus, for_crack, rtol=1e-4, atol=1e-5),
    identity=True,
)

# %% [markdown]
# So six methods, with six names, give only two maps here. A figure that shows all six side by side at this layer shows no more than those two. Two more methods use the activations
# alone. **Score-CAM** looks at the picture through each channel in turn, asks the network for its logit, and lets the channels compete: the best ones take all. **Eigen-CAM** takes the
# pattern that the channels have most in common; no class enters, so it can't know what a crack is.

# %%
shown = {"Grad-CAM": "grad_cam", "LayerCAM": "layer_cam", "Score-CAM": "score_cam", "Eigen-CAM": "eigen_cam"}
maps = {title: explain.METHODS[name](model, images) for title, name in shown.items()}
units = {
    "Grad-CAM": "logits per cell",
    "LayerCAM": "logits per cell",
    "Score-CAM": "activation",
    "Eigen-CAM": "activation",
}
few = {title: values[::2] for title, values in maps.items()}
display = cv.plots.AttributionGridDisplay.from_maps(images[::2], few, label=units, logits=logits[::2])
_ = cv.series.save_figure(
    run,
    display.figure_,
    "07_cam_family",
    alt="Patches and their maps by four methods, Grad-CAM, LayerCAM, Score-CAM and Eigen-CAM; each method has a colour bar of its own.",
)

# %% [markdown]
# Each row has a scale of its own, because the units differ. Look at the colour bars: a row without a blue side can't say "this speaks against".
#
# ## At an earlier layer they part
#
# Further down, the gradient differs from cell to cell, and the average begins to matter. HiResCAM counts what each cell itself does to the
# logit. Grad-CAM gives every cell of a channel the same weight, the mean: if a channel helps on the crack and harms a little everywhere else,
# "everywhere else" has more cells, and the mean has its sign.

# %%
ladder = explain.ladder(model)
early = [name for name in ladder.index if ladder.loc[name, "kind"] == "Conv2D"][1]
titles = {"Grad-CAM": "grad_cam", "HiResCAM": "hires_cam", "XGrad-CAM": "xgrad_cam"}
sums = {
    title: explain.METHODS[name](model, images, layer=early, upsample=False).sum((1, 2))
    for title, name in titles.items()
}
pd.DataFrame({"logit": logits, **{f"sum of {title}": values for title, values in sums.items()}}).astype(float).round(1)

# %%
sums = {
    title: explain.METHODS[name](model, more, layer=early, upsample=False).sum((1, 2)) for title, name in titles.items()
}
claim(
    "T7.3",
    "at an earlier layer HiResCAM and XGrad-CAM keep one sum, which Grad-CAM misses by over a quarter, on average",
    np.abs(sums["Grad-CAM"] - sums["HiResCAM"]).mean() / np.abs(sums["HiResCAM"]).mean(),
    ">",
    0.25,
    provided=np.allclose(sums["HiResCAM"], sums["XGrad-CAM"], rtol=1e-3, atol=1e-3),
)

# %%
maps = {title: explain.METHODS[name](model, images[cracked], layer=early) for title, name in titles.items()}
display = cv.plots.AttributionGridDisplay.from_maps(
    images[cracked][:1],
    {title: values[:1] for title, values in maps.items()},
    label="logits per cell",
    logits=logits[cracked][:1],
)
_ = cv.series.save_figure(
    run,
    display.figure_,
    "07_early_layer",
    alt="A cracked patch and three maps of it at an early layer: Grad-CAM, HiResCAM and XGrad-CAM, each with a colour bar of its own.",
)


# %%
cells = {title: explain.METHODS[name](model, images[:1], layer=early, upsample=False) for title, name in titles.items()}
strong = np.abs(cells["HiResCAM"]) >= np.quantile(np.abs(cells["HiResCAM"]), 0.9)
pd.DataFrame(
    {
        title: {"in the tenth where HiResCAM has most": one[strong].sum(), "in all other cells": one[~strong].sum()}
        for title, one in cells.items()
    }
).astype(float).round(1)

# %% [markdown]
# Read the colour bars before the colours, since their numbers differ. The table asks where the sums of this picture come from. HiResCAM asks every cell for itself, and most of it lies in a tenth of the cells. Grad-CAM
# has one mean gradient for all cells, and most cells are plain surface: so *they* decide its sign. But it is multiplied by the activations, and those are large on the crack. If the two disagree about the first row, Grad-CAM books the very
# cells that help most as opponents, as in the example of T7. XGrad-CAM weighs the mean by the activations, so there cells count by how strongly they answer. Nothing is wrong with the network: one averaged gradient can't stand for many cells that disagree.
#
# ## A map for thin things
#
# The last layer knows *what*, but its cells are wide and see wider still. Earlier layers know *where*, but not what. **Thin CAM**, which is this
# package's own, lets each say what it knows: every cell of the last layer hands its positive evidence out over the pixels that it saw, in proportion to what
# the finer layers found there. It only moves evidence, so the account stays closed.

# %%
thin = explain.thin_cam(model, images, upsample=False)
coarse = explain.grad_cam(model, images, upsample=False)
off = np.abs(explain.completeness_error(model, images, thin))
claim(
    "T7.4",
    "thin CAM still sums to the logit less the bias",
    (off / (1 + np.abs(logits))).max(),
    "<",
    1e-3,
    identity=True,
)

# %%
maps = {"Grad-CAM": explain.grad_cam(model, images), "thin CAM": explain.thin_cam(model, images)}
of_cracks = {title: values[cracked] for title, values in maps.items()}
drawn = {"label": "logits per cell", "logits": logits[cracked], "rows": "images"}
display = cv.plots.AttributionGridDisplay.from_maps(images[cracked], of_cracks, **drawn, widen=2, percentile=99)
display.figure_.set_size_inches(9, 1 + 3 * cracked.sum())
_ = cv.series.save_figure(
    run,
    display.figure_,
    "07_thin_cam",
    alt="Cracked patches in rows; beside each its Grad-CAM map and its thin CAM map.",
)


# %% [markdown]
# How thin is it? Count the pixels that hold the strongest half of the positive evidence.


# %%
def half_area(maps):
    """Return the share of pixels that hold half of a map's positive evidence, as the mean over the maps."""
    shares = []
    for values in maps.clip(min=0):
        held = np.cumsum(np.sort(values.ravel())[::-1])
        shares.append((held < held[-1] / 2).mean())
    return float(np.mean(shares))


area = {title: half_area(values[cracked]) for title, values in maps.items()}
print({title: f"{share:.1%} of the pixels" for title, share in area.items()})

# %%
claim(
    "T7.5",
    "thin CAM puts half of the positive evidence on less than half as many pixels as Grad-CAM",
    area["thin CAM"] / area["Grad-CAM"],
    "<",
    0.5,
    unless="" if coarse.shape[1] < image_size / 2 else "the cells of this network's last map are pixels already",
)

# %% [markdown]
# Thinner isn't truer by itself. Whether it lies *on the crack* is a question for pictures in which the crack is known.
#
# ## Ask the pixels
#
# Leave the layers, and differentiate the logit by the pixels themselves: by how much would it rise if this pixel became a little brighter? That is
# the **gradient**. Averaged over noisy copies of the picture it is **SmoothGrad**; times the pixel, **input × gradient**.
#
# A gradient is a slope *here*. It answers for a little step, and the picture is a long way from nothing. Let's walk that way, from the picture's mean colour
# to the picture, and look at the logit at each step.

# %%
shares = np.linspace(0, 1, 41, dtype=np.float32)
nothing = explain.baseline_images(images, "mean")
walk = np.array([explain.logits(model, nothing + share * (images - nothing)) for share in shares])
slope = (walk[-1] - walk[-2]) / (shares[-1] - shares[-2])

# %%
figure, axis = plt.subplots(figsize=(8, 4.2), layout="constrained")
for n, color in zip(range(len(images)), cv.plots.COLORS, strict=False):
    kind = "cracked" if cracked[n] else "sound"
    axis.plot(
        shares,
        walk[:, n],
        color=color,
        linestyle="-" if cracked[n] else "--",
        linewidth=2.5,
        label=f"picture {n + 1}, {kind}",
    )
    axis.plot(shares, walk[-1, n] + (shares - 1) * slope[n], color=color, linewidth=1, linestyle=":")
axis.set_ylim(min(walk.min(), -1) - 0.1 * np.ptp(walk), walk.max() + 0.1 * np.ptp(walk))
axis.set_xlabel("share of the way from the mean colour to the picture", fontsize=13)
axis.set_ylabel("logit", fontsize=13)
axis.legend(fontsize=11, title="dotted: the slope at the picture", title_fontsize=11)
sns.despine(ax=axis)
_ = cv.series.save_figure(
    run,
    figure,
    "07_walk",
    alt="The logit of each picture along the way from its mean colour to the picture itself. A dotted line continues the slope at the end of each curve.",
)

# %% [markdown]
# The dotted lines are what the gradient at the picture promises. Where the curve bends away from them, the gradient at the end knows
# nothing of the way. **Integrated gradients** add up the slopes of all the steps; then the sum must be the whole climb, from the logit of "nothing" to that of the
# picture.

# %%
climb = walk[-1] - walk[0]
integrated = explain.integrated_gradients(model, images, n_samples=64, baseline="mean")
missed = np.abs(explain.completeness_error(model, images, integrated, baseline="mean"))
pd.DataFrame({"climb": climb, "promised by the slope": slope, "integrated gradients": integrated.sum((1, 2))}).astype(
    float
).round(1)

# %% [markdown]
# A promise may come true by accident: the curve bends away and meets the dotted line again at its start. Sixteen more pictures tell whether that is the rule.

# %%
start = explain.baseline_images(more, "mean")
near_end = explain.logits(model, np.ascontiguousarray(start + np.float32(0.975) * (more - start)))
more_climb = more_logits - explain.logits(model, start)
slope_off = np.abs((more_logits - near_end) / 0.025 - more_climb)
more_maps = explain.integrated_gradients(model, more, n_samples=64, baseline="mean")
sum_off = np.abs(more_maps.sum((1, 2)) - more_climb)
print(f"climb {np.abs(more_climb).mean():.2f} on average; the slope misses it by {slope_off.mean():.2f},", end=" ")
print(f"integrated gradients by {sum_off.mean():.4f}")

# %%
claim(
    "T7.6",
    "integrated gradients add up to the climb; the slope at its end misses it by over ten times as much, on average",
    sum_off.mean() / slope_off.mean(),
    "<",
    0.1,
    provided=(missed < 0.1 + 0.05 * np.abs(climb)).all(),
)

# %% [markdown]
# ### What is "nothing"?
#
# The climb begins at a *[baseline](../THEORY.md#g-baseline)*, and most programs take black. Ask the network what it makes of that.

# %%
baselines = {
    name: explain.logits(model, np.ascontiguousarray(explain.baseline_images(images, name)))
    for name in ("black", "mean", "blur")
}
pd.DataFrame({"the picture": logits, **{f"baseline {name}": values for name, values in baselines.items()}}).astype(
    float
).round(1)

# %%
from_mean = {name: np.abs(baselines[name] - baselines["mean"]) for name in ("black", "blur")}
nearer = np.median(from_mean["blur"]) / max(np.median(from_mean["black"]), 1e-9)

# %% [markdown]
# A map that starts from black explains how the picture differs from black. So it is blind to what cracks are made of:

# %%
dark = images.copy()
middle = slice(image_size // 2 - 4, image_size // 2 + 4)
dark[:, middle, middle] = 0  # a black hole in the middle of each picture
hole = explain.integrated_gradients(model, dark, baseline="black")[:, middle, middle]
moved = np.abs(explain.logits(model, dark) - logits)
claim(
    "T7.7",
    "a pixel that equals the baseline gets nothing, though the logit hangs on it",
    moved.max(),
    ">",
    0.1,
    provided=not hole.any(),
)

# %%
plain = np.broadcast_to(np.float32([0.3, 0.7]).reshape(2, 1, 1, 1), (2, *images.shape[1:])).copy()
if np.ptp(explain.logits(model, plain)) > 1e-3:
    claim(
        "T7.8",
        "black has a logit of its own, over three times as far from the mean colour's as the blurred picture's is",
        nearer,
        "<",
        1 / 3,
    )
else:  # as local_cnn is made: it asks only how much darker a pixel is than its surroundings
    print("To this network all plain pictures are alike, black and grey.")

# %% [markdown]
# A plain grey square is no photograph either. **Expected gradients** start from real pictures that show nothing, and take the mean of the maps. So here are some sound
# patches, none of them among those above. The map then says why this picture's logit isn't that of an average sound wall.

# %%
others = fair[(fair["label"] == 0) & ~fair["path"].isin(some["path"])]
sound = cv.data.load_images(others.sample(16, random_state=seed, replace=len(others) < 16)["path"], image_size)
expected = explain.integrated_gradients(model, images, background=sound, n_samples=128)
off = np.abs(explain.completeness_error(model, images, expected, background=sound))
difference = logits - explain.logits(model, sound).mean()
claim(
    "T7.9",
    "expected gradients add up to the logit less the mean logit of the sound patches",
    off.mean() / np.abs(difference).mean(),
    "<",
    0.1,
)

# %% [markdown]
# **DeepLIFT** asks the same question as integrated gradients, and needs one step in place of sixty-four. It runs the picture and the baseline through the network, and hands the
# *difference* of the logits back, layer by layer: at every bend by the slope of the straight line from the one to the other.

# %%
lifted = explain.deep_lift(model, images, baseline="mean")
gaps = np.abs(explain.completeness_error(model, images, lifted, baseline="mean"))
claim(
    "T7.10",
    "DeepLIFT adds up to the climb in one go, closer than integrated gradients in 64 steps",
    gaps.max() / np.abs(climb).mean(),
    "<",
    1e-4,
    provided=gaps.mean() < missed.mean(),
)

# %%
maps = {"mean colour": integrated, "sound patches": expected, "DeepLIFT, mean colour": lifted}
maps = {title: ndimage.gaussian_filter(values, (0, 1, 1))[cracked] for title, values in maps.items()}
display = cv.plots.AttributionGridDisplay.from_maps(
    images[cracked], maps, label="logits per pixel", logits=logits[cracked]
)
_ = cv.series.save_figure(
    run,
    display.figure_,
    "07_from_what",
    alt="Cracked patches and three maps of each: by integrated gradients from the mean colour, by the same from sound patches, and by DeepLIFT.",
)

# %% [markdown]
# For the eye the values are smoothed by a pixel. Each row has its own scale. DeepLIFT and integrated gradients ask the same question; how well they agree, the figure further down says.

# %% [markdown]
# ## The sharpest picture
#
# **Guided [backpropagation](../THEORY.md#g-backpropagation)** is the gradient with every negative value struck out on its way down, at every ReLU. It makes the sharpest pictures
# of all, by common opinion. Compare it with the gradient, for both answers.

# %%
strips, titles = [], []
for picture, logit in zip(images[cracked], logits[cracked], strict=True):
    strips.append(picture)
    titles.append(f"logit {logit:+.1f}")
    for title, name in {"gradient": "gradient", "guided": "guided_backprop"}.items():
        for target in ("crack", "no_crack"):
            strength = np.abs(explain.METHODS[name](model, picture[np.newaxis], target=target)[0])
            strips.append((strength / max(np.quantile(strength, 0.99), 1e-12)).clip(0, 1))  # a map may be empty
            titles.append(f"{title}, {target.replace('_', ' ')}")
display = cv.plots.ImagesDisplay.from_images(strips, titles=titles, columns=5)
_ = cv.series.save_figure(
    run,
    display.figure_,
    "07_guided",
    alt="Cracked patches in rows; beside each four maps in black and white, by the gradient and by guided backpropagation, for crack and for no crack.",
)

# %% [markdown]
# White is the strength of a pixel, either sign; each map is stretched until one pixel in a hundred is fully white, so brightness can't be compared between maps.
#
# With one logit, what speaks for one answer speaks against the other, so an honest map of "no crack" is that of "crack" with the sign turned. (Without
# the sign, as above, the gradient's two maps are the same.) The guided maps aren't opposites: each class has a map of its own, and where one of them marks a place, the other may mark it as well, or leave it empty. What they have in common, the next line counts, as the cosine of the angle between both maps: −1 would be opposites, and where one of them is empty it is 0.


# %%
def likeness(name):
    """Return the mean cosine between the maps of both classes."""
    both = [explain.METHODS[name](model, images, target=target) for target in ("crack", "no_crack")]
    one, other = (maps.reshape(len(maps), -1) for maps in both)
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return float(np.mean((one * other).sum(axis=1) / np.maximum(lengths, 1e-20)))


print(f"cosine of both classes' maps: gradient {likeness('gradient'):+.2f}, guided {likeness('guided_backprop'):+.2f}")

# %%
claim(
    "T7.11",
    "the gradient's maps of the two classes are opposites, the guided ones are not",
    likeness("guided_backprop"),
    ">",
    -0.5,
    provided=likeness("gradient") < -0.99,
)

# %% [markdown]
# ## Cover it up
#
# No gradient at all: hide a part, and see what happens. **Occlusion** covers one square after the other with the mean colour. Its numbers are the easiest to read, because
# anybody can check one: here is the square that mattered most in the first picture.

# %%
size, stride = image_size // 8, image_size // 16
falls = explain.occlusion(model, images, size=size, stride=stride, upsample=False)
row, column = np.unravel_index(falls[0].argmax(), falls[0].shape)
top, left = min(row * stride, image_size - size), min(column * stride, image_size - size)
covered = images[:1].copy()
covered[:, top : top + size, left : left + size] = images[0].mean(axis=(0, 1))
display = cv.plots.ImagesDisplay.from_images(
    [images[0], covered[0]], titles=[f"logit {logits[0]:+.1f}", f"logit {explain.logits(model, covered)[0]:+.1f}"]
)
_ = cv.series.save_figure(
    run,
    display.figure_,
    "07_covered",
    alt="The first patch, and the same patch with the square covered that mattered most; the logit stands above each.",
)

# %%
fall = logits[0] - explain.logits(model, covered)[0]
claim(
    "T7.12",
    "the fall on the map is the fall of the logit",
    abs(fall - falls[0, row, column]) / (1 + abs(fall)),
    "<",
    1e-3,
    identity=True,
)

# %% [markdown]
# But the square has edges, which the network sees, and what one square shows hangs on what lies beside it: cover two squares and the fall isn't the sum of theirs. Let squares tile the picture, none on another,
# and compare the sum of their falls with the fall when all are covered.

# %%
both = np.concatenate([images, more])
tiles = explain.occlusion(model, both, size=size, stride=size, upsample=False).sum((1, 2))
whole = np.concatenate([climb, more_climb])
print(f"all {len(both)} pictures: off by {np.abs(tiles - whole).mean():.1f} on average, of {np.abs(whole).mean():.1f}")
pd.DataFrame({"falls, added up": tiles, "fall of all together": whole}).astype(float).head(len(images)).round(1)

# %%
claim(
    "T7.13",
    "the falls of squares that tile the picture miss the fall when all are covered by over a tenth of it, on average",
    np.abs(tiles - whole).mean() / np.abs(whole).mean(),
    ">",
    0.1,
)

# %% [markdown]
# **LIME** covers *superpixels* at random, parts of one brightness, and fits a straight line to the answers: what is the logit, as a sum of the parts that are visible? Its map is as coarse as
# its parts, and it stands in the table below.
#
# **RISE** dims random parts, hundreds of times, and asks which pixels were visible whenever the logit was high. It is an estimate, with noise: draw other masks and
# you get another map. How much of it is noise, one can measure.


# %%
def agreement(n_samples):
    """Return the mean correlation of two maps made with different masks, of the cracked pictures."""
    draws = progress((seed, seed + 1), "drawing masks", 2, unit="draw")
    pair = [explain.rise(model, images[cracked], n_samples=n_samples, seed=draw) for draw in draws]
    return float(np.mean([np.corrcoef(one.ravel(), other.ravel())[0, 1] for one, other in zip(*pair, strict=True)]))


few, many = agreement(n_masks // 8), agreement(n_masks)
print(f"correlation of two draws: {few:.2f} with {n_masks // 8} masks, {many:.2f} with {n_masks}")

# %%
claim("T7.14", "with eight times the masks two draws of RISE agree better", many - few, ">", 0)

# %% [markdown]
# ## All of them, with what they cost
#
# A pass is one trip of one picture through the network: forwards for its answer, backwards for the gradients. The seconds are those of this machine, for one picture.

# %%
options = {"rise": {"n_samples": n_masks}, "lime": {"n_samples": n_masks}}
costs = explain.methods_table(model, images)
maps, seconds = {}, {}
for name, method in progress(explain.METHODS.items(), "making maps", len(explain.METHODS), unit="method"):
    method(model, images[:1], **options.get(name, {}))  # the first call translates the network, once
    began = time.perf_counter()
    maps[name] = method(model, images, **options.get(name, {}))
    seconds[name] = (time.perf_counter() - began) / len(images)
    costs.loc[name, ["forward", "backward"]] = method.passes(model, images, **options.get(name, {}))
costs["ms"] = (pd.Series(seconds) * 1000).round(1)
costs.set_index("title")[["paper", "forward", "backward", "ms", "signed", "complete", "by_class"]]

# %% [markdown]
# *Complete* ones add up to something you can name. *By class* no means that the answer doesn't depend on the question. The last four know nothing of the network: they
# are what every explanation has to beat.
#
# ## Do they agree?
#
# Rank the pixels of each map, smoothed a little, so that pixels next to each other count as neighbours, and correlate the ranks.

# %%
chosen = [
    name for name in maps if name not in ("cam", "hires_cam", "xgrad_cam", "ablation_cam", "grad_cam_plus_plus")
]  # they are others' doubles here
fine = [name for name in chosen if explain.METHODS[name].kind == "pixels" and costs.loc[name, "backward"]]
soft = {
    name: ndimage.gaussian_filter(
        np.abs(maps[name]) if name in fine else maps[name], (0, image_size / 32, image_size / 32)
    )
    for name in chosen
}
ranks = {name: np.stack([stats.rankdata(values) for values in soft[name][cracked]]) for name in chosen}
agree = pd.DataFrame(
    {
        a: {b: np.mean([np.corrcoef(p, q)[0, 1] for p, q in zip(ranks[a], ranks[b], strict=True)]) for b in chosen}
        for a in chosen
    }
)

# %%
titles = costs["title"][chosen]
figure, axis = plt.subplots(figsize=(11.5, 9.5), layout="constrained")
sns.heatmap(
    (agree.round(1) + 0.0).set_axis(titles).set_axis(titles, axis=1),
    vmin=-1,
    vmax=1,
    cmap="vlag",
    annot=True,
    fmt=".1f",
    square=True,
    ax=axis,
    annot_kws={"fontsize": 11},
    cbar_kws={"label": "rank correlation, mean over the cracked pictures", "shrink": 0.8},
)
axis.set(xlabel="", ylabel="")
axis.tick_params(labelsize=11)
_ = cv.series.save_figure(
    run,
    figure,
    "07_agreement",
    alt="A table of colours with the rank correlation of every pair of methods; the last rows and columns are maps that know no network.",
)

# %% [markdown]
# Some agree with each other, because they are made of the same parts. Now read the rows of darkness and of edges, which know no network. Where a method agrees with them nearly as well as with its neighbours, that should make you
# think. After this blurring guided [backpropagation](../THEORY.md#g-backpropagation) may side with the CAM family: where it is bright, the network does find something; what its lines *say* is another matter. (Ranks are over all pixels, so the plain background, most of
# the picture, decides: that is why local darkness may agree with hardly any map of the network. And how much of RISE is noise was measured above.) And two that both add up, to the last logit, needn't agree pixel by pixel: an account can be closed in more than one way.


# %%
def alike(one, other, sigma=0.0):
    """Return the correlation of two signed maps, smoothed alike, as the mean over the cracked pictures."""
    pair = [ndimage.gaussian_filter(maps[cracked], (0, sigma, sigma)) for maps in (one, other)]
    return float(np.mean([np.corrcoef(p.ravel(), q.ravel())[0, 1] for p, q in zip(*pair, strict=True)]))


two = {"thin CAM": maps["thin_cam"], "from sound patches": expected}
pd.DataFrame(
    {
        f"smoothed by {sigma} px": {title: alike(one, integrated, sigma) for title, one in two.items()}
        for sigma in (0, 1, 4)
    }
).round(2)

# %%
claim(
    "T7.15",
    "thin CAM and integrated gradients both add up, and differ more than integrated gradients from two baselines",
    alike(maps["thin_cam"], integrated),
    "<",
    alike(expected, integrated),
    provided=bool(missed.max() < 0.1 + 0.05 * np.abs(climb).max()),
)

# %% [markdown]
# Read the table from left to right. Pixel by pixel the two maps are different accounts. Smoothed over a few pixels they come closer: they may agree on where the crack is, and still divide the sum in
# another way among its pixels.

# %% [markdown]
# ## SHAP, LRP, DeepLIFT: one account
#
# "Why not SHAP?" is the first question from every room. SHAP asks for the *[Shapley value](../THEORY.md#g-shapley-value)*: what a part adds to the answer, as the mean over all orders in which the parts can be put in. LRP
# hands the logit back layer by layer, to each input in proportion to what it gave. They are known as rivals of Grad-CAM. But at the layer before the average, with an absent cell being one of
# zeros, all of them are the same map. T7 proves it in a few lines. Here we try it. First, what follows that layer, as a network of its own:


# %%
def behind(model, layer):
    """Return the function from a layer's activations to the logit of a crack."""
    inputs = [model.get_layer(layer).output, model.inputs[0]]  # the picture, for paths that lead round the layer
    rest = keras.Model(inputs, model.get_layer("logit").output)
    return lambda A: rest([tf.convert_to_tensor(A), tf.constant(images)], training=False)[:, -1]


last_layer = explain.default_layer(model)
A = keras.Model(model.inputs[0], model.get_layer(last_layer).output)(images).numpy()
logit_of = behind(model, last_layer)
largest = np.abs(coarse).max()
ablated = explain.ablation_cam(model, images, upsample=False)
claim(
    "T7.16",
    "Ablation-CAM, each channel really switched off, is the map of Grad-CAM",
    np.abs(ablated - coarse).max() / largest,
    "<",
    1e-3,
    identity=True,
)

# %% [markdown]
# Then three accounts in a line or two each. *Integrated gradients* walk from zeros to $A$. *DeepLIFT* hands the logit to the averages, and each average to its cells. *LRP-0* gives each cell its
# share of the logit less the bias.

# %%
steps = []
for share in (0.1, 0.3, 0.5, 0.7, 0.9):
    with tf.GradientTape() as tape:
        tape.watch(point := tf.constant(share * A))
        z = logit_of(point)
    steps.append(tape.gradient(z, point).numpy())
by_steps = (A * np.mean(steps, axis=0)).sum(axis=-1)

# %%
weights, (*_, bias) = model.get_layer("logit").get_weights()
averages = A.mean(axis=(1, 2), keepdims=True)
sums = A.sum(axis=(1, 2), keepdims=True)
by_difference = (averages * weights[:, -1] * np.divide(A, sums, out=np.zeros_like(A), where=sums > 0)).sum(axis=-1)
given = A @ weights[:, -1]
by_share = given / given.sum(axis=(1, 2), keepdims=True) * (logits - bias)[:, np.newaxis, np.newaxis]
claim(
    "T7.17",
    "there integrated gradients, DeepLIFT and LRP-0 without the bias are that map",
    max(np.abs(one - coarse).max() for one in (by_steps, by_difference, by_share)) / largest,
    "<",
    1e-3,
    identity=True,
)

# %% [markdown]
# Now *Shapley values*. Cut the map into sixteen groups of cells, draw an order, put one group in after the other, and note what each adds to the logit. Then draw another order.


# %%
def added(A, logit_of, orders):
    """Return what each group of cells adds to the logit, (orders, groups, N), put into a map of zeros in each order."""
    rows, columns = (np.arange(side) * 4 // side for side in A.shape[1:3])
    group = 4 * rows[:, np.newaxis] + columns  # 0 to 15, for each cell
    found = np.empty((len(orders), 16, len(A)))
    for n, order in enumerate(orders):
        present = [np.isin(group, order[:count])[np.newaxis, :, :, np.newaxis] for count in range(17)]
        z = np.stack([logit_of(A * mask).numpy() for mask in present])
        found[n, order] = np.diff(z, axis=0)
    return found


def in_groups(maps):
    """Return the sums of maps (N, h, w) over the same groups, (groups, N)."""
    rows, columns = (np.arange(side) * 4 // side for side in maps.shape[1:])
    return np.stack([maps[:, rows == i][:, :, columns == j].sum((1, 2)) for i in range(4) for j in range(4)])


# %%
rng = np.random.default_rng(seed)
orders = [rng.permutation(16) for _ in range(12)]
values = added(A, logit_of, orders)
claim(
    "T7.18",
    "every order of putting groups of cells in gives each group the sum of its cells on that map",
    np.abs(values - in_groups(coarse)).max() / np.abs(in_groups(coarse)).max(),
    "<",
    1e-3,
    identity=True,
)

# %% [markdown]
# Not only on the average: in *every* order. What a cell adds doesn't depend on which others are there, so there is nothing to average, and nothing to argue about.
#
# ### Where they part
#
# One bend behind the layer, and the orders disagree. At an earlier layer of the same network, and at the last map of `deep_cnn`, where a Dense layer with a ReLU follows the average (with
# fresh weights here, as it is the arithmetic that counts):

# %%
early_A = keras.Model(model.inputs[0], model.get_layer(early).output)(images).numpy()
at_early = added(early_A, behind(model, early), orders[:6])
deep = cv.models.deep_cnn(image_size, seed=seed)
deep_layer = explain.default_layer(deep)
deep_A = keras.Model(deep.inputs[0], deep.get_layer(deep_layer).output)(images).numpy()
at_deep = added(deep_A, behind(deep, deep_layer), orders)


# %%
def compare(values, maps):
    """Return how far the orders are apart, and Grad-CAM from their mean, in its standard errors and as a share."""
    mean, error = values.mean(axis=0), values.std(axis=0, ddof=1) / np.sqrt(len(values))
    away = np.sqrt(np.mean((in_groups(maps) - mean) ** 2))
    size = np.sqrt(np.mean(mean**2))
    return {
        "orders apart": values.std(axis=0, ddof=1).mean() / size,
        "Grad-CAM off, share": away / size,
        "Grad-CAM off, standard errors": away / np.sqrt(np.mean(error**2)),
    }


parted = pd.DataFrame(
    {
        f"{last_layer}, before the average": compare(values, coarse) | {"Grad-CAM off, standard errors": np.nan},
        f"{early}, earlier": compare(at_early, explain.grad_cam(model, images, layer=early, upsample=False)),
        f"deep_cnn, {deep_layer}": compare(at_deep, explain.grad_cam(deep, images, upsample=False)),
    }
).T
parted.round(3)

# %% [markdown]
# What a group adds may change from one order to the next. The column "orders apart" says how much it changes, as a share of what groups add. The next column says how far Grad-CAM's sums are from the mean of the orders,
# in the same measure. In the first row both are rounding errors.

# %%
claim(
    "T7.19",
    "at an earlier layer the orders disagree, and Grad-CAM is more than three standard errors from their mean",
    parted["Grad-CAM off, standard errors"].iloc[1],
    ">",
    3,
    provided=parted["orders apart"].iloc[1] > 1000 * parted["orders apart"].iloc[0],
)

# %%
claim(
    "T7.20",
    "the orders disagree at the last map of deep_cnn, too, over a thousand times (ten to the third) as much as by rounding",
    np.log10(parted["orders apart"].iloc[2] / max(parted["orders apart"].iloc[0], 1e-9)),
    ">",
    3,
)

# %% [markdown]
# ## Which one, then?
#
# | you want | take | beware |
# |---|---|---|
# | an account of the decision, cheap and exact | Grad-CAM at the last layer | cells are wide |
# | the same, drawn thin | thin CAM | finer layers decide where |
# | a statement that a colleague can check | occlusion | hundreds of passes; the square's edges |
# | an answer for each pixel that adds up | DeepLIFT, or integrated gradients | the baseline is half of the answer |
# | SHAP, LRP | Grad-CAM at the last layer: it is the same map | elsewhere each is another choice |
# | a pretty picture | no map at all: a pretty one needn't be true | guided backpropagation is the prettiest |
#
# Whether any of these maps lies on the crack can't be seen from how it looks or from which others it agrees with. That needs pictures in which the truth is known.
#
# ## To remember
#
# - Methods differ in the question they ask, not only in the picture they paint.
# - Before the average, many methods give one and the same map.
# - Adding up means that nothing was left out. It doesn't make a map the right one.
# - Some methods cost one pass, some hundreds.
# - That two methods agree may only mean that they share their parts.
#
# **Two questions**
#
# <details><summary>Integrated gradients and thin CAM both add up and differ. Which one is wrong?</summary>
#
# Neither: they divide the same sum by different questions.
#
# </details>
#
# <details><summary>Why does occlusion not add up?</summary>
#
# The network isn't a sum over squares. If either half of a crack is enough, both falls are small, and their sum is less than the whole. If both halves are needed, each fall takes all of it, and the sum is more.
#
# </details>
#
# ## Exercises
#
# ★ is read off, ★★ takes a line or two, ★★★ is written. Put your answer in place of the dots and run the cell: it tells you whether it is right, or what is wrong with it.
#
# **07.1** ★ Which of these add up to something that you can name: `"grad_cam"`, `"thin_cam"`, `"deep_lift"`, `"occlusion"`, `"rise"`, `"guided_backprop"`? Look at the column *complete* of the table, and give a set.

# %% tags=["exercise"]
answer = ...
cv.series.exercise("07.1", answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# Grad-CAM and thin CAM add up to the logit less the bias, DeepLIFT to the difference of two logits. The falls of occlusion overlap, RISE is an estimate, and guided backpropagation adds up to nothing.
#
# ```python
# answer = {"grad_cam", "thin_cam", "deep_lift"}
# ```
#
# </details>
#
# **07.2** ★★ Occlude the first picture with black squares: `explain.occlusion` with `baseline="black"`, and the cells as they are (`upsample=False`). Why do the maps of sound pictures change so much?

# %% tags=["exercise"]
answer = ...
cv.series.exercise("07.2", answer, of=(model, images[:1]))

# %% [markdown]
# <details><summary>Solution</summary>
#
# Each black square is itself dark, like a crack, and the network answers to it.
#
# ```python
# answer = explain.occlusion(model, images[:1], baseline="black", upsample=False)
# ```
#
# </details>
#
# **07.3** ★★★ Write `def answer(weights, picture, baseline):` for three arrays of one length. It returns the Shapley values of the inputs of $f(x) = \sum_i w_i x_i$, where an absent input has its baseline's value.

# %% tags=["exercise"]
answer = ...
cv.series.exercise("07.3", answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# What an input adds doesn't depend on which others are there, so every order gives the same.
#
# ```python
# def answer(weights, picture, baseline):
#     return weights * (picture - baseline)
# ```
#
# </details>
#
# **To go on**, without a check:
#
# 1. Give `thin_cam` the layers by hand, `layer=[…]`, with the first convolution and the last. What changes, and what doesn't?
# 2. Compute SmoothGrad with `noise=0.02` and with `noise=0.5`. Which one would you show, and how would you defend the choice?
# 3. Which methods of the table give a different map when all the weights of the logit layer are permuted? Try `guided_backprop`.
#
# <details><summary>Solutions</summary>
#
# 1: where the evidence is drawn changes; its sum doesn't. 2: with little noise it is the gradient. With much, the copies no longer look like concrete, and the answers to them are no explanation of this one. Neither can be told from the picture: that is why the setting belongs in the caption. 3: all that know the network. Grad-CAM and the gradient may even turn their sign. Guided backpropagation and LayerCAM keep only what is positive, so their maps may hardly change, although what each channel says has been mixed up.
#
# </details>

# %%
cv.series.write_results(
    run,
    "07_attribution_methods",
    {
        "model": net.origin,
        "passes": {name: [int(costs.loc[name, "forward"]), int(costs.loc[name, "backward"])] for name in costs.index},
        "milliseconds per picture": costs["ms"].to_dict(),
        "half of the evidence, share of pixels": area,
        "logit of a black picture": float(baselines["black"].mean()),
        "agreement with thin CAM": agree["thin_cam"].round(3).to_dict(),
    },
)
