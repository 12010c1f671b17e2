# %% [markdown]
# # 07 · Attribution methods
#
# Sixteen methods answer the question "why did the network say so?", and they give different answers. Here they stand side by side: what each
# one asks the network, what it costs, what its numbers mean, and where it fools you.
#
# | | |
# |---|---|
# | **You will learn** | the CAM family, gradients, integrated gradients, occlusion and RISE; which add up; which agree; what they cost |
# | **Time** | 45 minutes to read, a minute and a half to run |
# | **Theory** | [T7 Attribution methods](../THEORY.md#t7-attribution-methods) |
# | **Before** | [06 Grad-CAM](06_grad_cam.ipynb) |

# %% tags=["parameters"]
data: str = ""  # folder with pictures; "" is synthetic concrete, made here
run: str = ""  # run folder, where results are kept; "" is runs/lesson
network: str = ""  # a trained network: a file, a run folder, or the name of a shipped one; "" takes the run's
image_size: int = 128  # side to which pictures are resized [px]
max_images: int = 2000  # pictures used, drawn by whole groups; 0 takes all
n_images: int = 4  # pictures explained here, half of them cracked
n_masks: int = 400  # random masks of RISE: as many passes for each picture
seed: int = 0  # fixes every random choice

# %%
import time

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from scipy import ndimage, stats

import crackviz as cv
from crackviz.claims import claim

plt.rcParams["figure.dpi"] = 80  # keeps the notebook small
explain = cv.attribution  # the methods live here
run = cv.series.open_run(run, "07_attribution_methods")
table = cv.data.prepare(data, run / "split.csv", max_images=max_images, seed=seed)

# %%
net = cv.models.find(run, "gap_cnn_deep", network)
model = net.load()
image_size = cv.models.image_size(model) or image_size
fair = cv.training.unseen(net, table)  # of the test part, and new to the network
some = (
    fair.sample(frac=1, random_state=seed)
    .groupby("label")
    .head(max(1, n_images // 2))
    .sort_values("label", ascending=False)
)
images = cv.data.load_images(some["path"], image_size)
cracked = some["label"].to_numpy() == 1
logits = explain.logits(model, images)
print(net.origin)

# %% [markdown]
# ## One layer, two maps
#
# All methods of the CAM family take a layer's activations $A_{ijc}$ and the gradients $G_{ijc} = \partial z / \partial A_{ijc}$, and add up products of
# the two. They differ in a line: Grad-CAM averages $G$ over the cells, HiResCAM doesn't, XGrad-CAM averages it weighed by $A$, LayerCAM
# drops its negative part, and Grad-CAM++ does so too, with an average of its own.
#
# At the last layer of our network $G$ is the same in every cell. What is an average then? The thing itself.

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
# So six names are two maps here, and a figure that shows all six side by side at this layer shows nothing. Two more methods use the activations
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
display = cv.plots.AttributionGridDisplay.from_maps(images, maps, label=units, logits=logits)
_ = cv.series.save_figure(run, display.figure_, "07_cam_family")

# %% [markdown]
# Each row has a scale of its own, because the units differ. Only the first has a blue side: the others can't say "this speaks against".
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
apart = np.abs(sums["Grad-CAM"] - sums["HiResCAM"]).mean()
claim(
    "T7.3",
    "at an earlier layer HiResCAM and XGrad-CAM keep one sum, and Grad-CAM has another",
    apart,
    ">",
    0.1,
    provided=np.allclose(sums["HiResCAM"], sums["XGrad-CAM"], rtol=1e-3, atol=1e-3),
)

# %%
maps = {title: explain.METHODS[name](model, images[cracked], layer=early) for title, name in titles.items()}
display = cv.plots.AttributionGridDisplay.from_maps(
    images[cracked], maps, label="logits per cell", logits=logits[cracked]
)
_ = cv.series.save_figure(run, display.figure_, "07_early_layer")

# %% [markdown]
# Read the colour bars before the colours. Grad-CAM's values are the smallest by far, and most of what it has to say is a veil over the plain surface, too thin to be seen,
# which weighs more than the crack when it is added up. That is how a sum falls far short, or gets the wrong sign: compare the table above, picture by picture. Nothing is wrong with
# the network: one averaged gradient can't stand for many cells that disagree.
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
display = cv.plots.AttributionGridDisplay.from_maps(
    images[cracked], of_cracks, label="logits per cell", logits=logits[cracked], rows="images"
)
display.figure_.set_size_inches(9, 1 + 3 * cracked.sum())
_ = cv.series.save_figure(run, display.figure_, "07_thin_cam")


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
    "thin CAM puts half of the positive evidence on fewer pixels than Grad-CAM",
    area["thin CAM"] / area["Grad-CAM"],
    "<",
    1,
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
_ = cv.series.save_figure(run, figure, "07_walk")

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

# %%
claim(
    "T7.6",
    "integrated gradients add up to the climb, which the slope at its end misses by more",
    missed.mean() / np.abs(slope - climb).mean(),
    "<",
    1,
    provided=(missed < 0.1 + 0.05 * np.abs(climb)).all(),
)

# %% [markdown]
# ### What is "nothing"?
#
# The climb begins at a *baseline*, and most programs take black. Ask the network what it makes of that.

# %%
baselines = {
    name: explain.logits(model, np.ascontiguousarray(explain.baseline_images(images, name)))
    for name in ("black", "mean", "blur")
}
pd.DataFrame({"the picture": logits, **{f"baseline {name}": values for name, values in baselines.items()}}).astype(
    float
).round(1)

# %% [markdown]
# If black has a logit far from the others, a map that starts there explains mostly why the picture isn't black. And it is blind to what cracks are made of:

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
    0.01,
    provided=not hole.any(),
)

# %% [markdown]
# ## A sharp picture of nothing in particular
#
# **Guided backpropagation** is the gradient with every negative value struck out on its way down, at every ReLU. It makes the sharpest pictures
# of all. Compare it with the gradient, for both answers.

# %%
strips, titles = [], []
for picture, logit in zip(images[cracked], logits[cracked], strict=True):
    strips.append(picture)
    titles.append(f"logit {logit:+.1f}")
    for title, name in {"gradient": "gradient", "guided": "guided_backprop"}.items():
        for target in ("crack", "no_crack"):
            strength = np.abs(explain.METHODS[name](model, picture[np.newaxis], target=target)[0])
            strips.append((strength / np.quantile(strength, 0.99)).clip(0, 1))
            titles.append(f"{title}, {target}")
display = cv.plots.ImagesDisplay.from_images(strips, titles=titles, columns=5)
_ = cv.series.save_figure(run, display.figure_, "07_guided")

# %% [markdown]
# White is the strength of a pixel, either sign; each map is stretched until one pixel in a hundred is fully white, so brightness can't be compared between maps.
#
# With one logit, what speaks for one answer speaks against the other, so an honest map of "no crack" is that of "crack" with the sign turned. (Without
# the sign, as above, the gradient's two maps are the same.) The guided maps aren't opposites: the lines that it draws as evidence for one answer, it draws as evidence for the other, too.


# %%
def likeness(name):
    """Return the mean correlation of the maps of both classes."""
    pairs = zip(*(explain.METHODS[name](model, images, target=target) for target in ("crack", "no_crack")), strict=True)
    return float(np.mean([np.corrcoef(one.ravel(), other.ravel())[0, 1] for one, other in pairs]))


print(
    f"correlation of both classes' maps: gradient {likeness('gradient'):+.2f}, guided {likeness('guided_backprop'):+.2f}"
)

# %%
claim(
    "T7.8",
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
_ = cv.series.save_figure(run, display.figure_, "07_covered")

# %%
fall = logits[0] - explain.logits(model, covered)[0]
claim(
    "T7.9",
    "the fall on the map is the fall of the logit",
    abs(fall - falls[0, row, column]) / (1 + abs(fall)),
    "<",
    1e-3,
    identity=True,
)

# %% [markdown]
# But the square has edges, and a thin crack half covered is still a crack: cover two squares and the fall isn't the sum of theirs. So this map doesn't add up.
#
# **RISE** dims random parts, hundreds of times, and asks which pixels were visible whenever the logit was high. It is an estimate, with noise: draw other masks and
# you get another map. How much of it is noise, one can measure.


# %%
def agreement(n_samples):
    """Return the mean correlation of two maps made with different masks, of the cracked pictures."""
    pair = (explain.rise(model, images[cracked], n_samples=n_samples, seed=draw) for draw in (seed, seed + 1))
    return float(np.mean([np.corrcoef(one.ravel(), other.ravel())[0, 1] for one, other in zip(*pair, strict=True)]))


few, many = agreement(n_masks // 8), agreement(n_masks)
print(f"correlation of two draws: {few:.2f} with {n_masks // 8} masks, {many:.2f} with {n_masks}")

# %%
claim("T7.10", "with eight times the masks two draws of RISE agree better", many - few, ">", 0)

# %% [markdown]
# ## All of them, with what they cost
#
# A pass is one trip of one picture through the network: forwards for its answer, backwards for the gradients. The seconds are those of this machine, for one picture.

# %%
options = {"rise": {"n_samples": n_masks}}
costs = explain.methods_table(model, images)
maps, seconds = {}, {}
for name, method in explain.METHODS.items():
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
    name for name in maps if name not in ("cam", "hires_cam", "xgrad_cam", "grad_cam_plus_plus")
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
_ = cv.series.save_figure(run, figure, "07_agreement")

# %% [markdown]
# Some agree with each other, because they are made of the same parts. Some agree with plain darkness or with edges as well as with each other, which should make you
# think. Guided backpropagation sides with the CAM family here, after this blurring: where it is bright, the network does find something; what its lines *say* is another matter. (Ranks are over all pixels, so the plain background, most of
# the picture, decides: that is why local darkness agrees with nobody.) And two that both add up, to the last logit, needn't agree at all: an account can be closed in more than one way.

# %%
closed = agree.loc["thin_cam", "integrated_gradients"]
claim(
    "T7.11",
    "two maps that both add up still differ",
    closed,
    "<",
    0.95,
    provided=missed.max() < 0.1 + 0.05 * np.abs(climb).max(),
)

# %% [markdown]
# ## Which one, then?
#
# | you want | take | beware |
# |---|---|---|
# | an account of the decision, cheap and exact | Grad-CAM at the last layer | cells are wide |
# | the same, drawn thin | thin CAM | finer layers decide where |
# | a statement that a colleague can check | occlusion | hundreds of passes; the square's edges |
# | an answer for each pixel that adds up | integrated gradients | the baseline is half of the answer |
# | a pretty picture | none of them | guided backpropagation is the prettiest |
#
# Whether any of these maps lies on the crack can't be seen from how it looks or from which others it agrees with. That needs pictures in which the truth is known.
#
# ## Exercises
#
# 1. Give `thin_cam` the layers by hand, `layer=[…]`, with the first convolution and the last. What changes, and what doesn't?
# 2. Occlude with `baseline="black"`. Why do the maps of sound pictures change so much?
# 3. Compute SmoothGrad with `noise=0.02` and with `noise=0.5`. Which one would you show, and how would you defend the choice?
# 4. Which methods of the table give a different map when all the weights of the logit layer are permuted? Try `guided_backprop`.
#
# **Solutions.** 1: where the evidence is drawn changes; its sum doesn't. 2: each black square is itself dark, like a crack, and the network answers to it. 3: with little noise it is the
# gradient; with much, the copies no longer look like concrete; the network's answers to them are no explanation of this one. Neither can be told from the picture: that is why the setting belongs in the caption. 4: all
# that know the network, but guided backpropagation changes least in its lines.

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
