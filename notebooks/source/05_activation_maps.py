# %% [markdown]
# # 05 · Activation maps: one patch, layer by layer
#
# We follow a single patch through the network, from its pixels to its logit. On the way the picture becomes a stack of maps: coarser and coarser, and closer and closer to an answer. In the end they are averaged, weighed and summed, and we see every
# term of that sum.
#
# | | |
# |---|---|
# | **You will learn** | what a layer hands on to the next, how much of the picture one cell sees, which channels decide, and how the logit is put together |
# | **Time** | 35 minutes to read, under a minute to run |
# | **Theory** | [T5 Activation maps](../THEORY.md#t5-activation-maps) |

# %% tags=["parameters"]
data: str = ""  # folder with pictures; "" is synthetic concrete, made here
crack_class: str = ""  # the folder whose pictures show cracks, where its name doesn't say so
groups: str = ""  # which pictures show one place: "folder:1", a pattern, a CSV file; "" goes by file names
run: str = ""  # run folder, where results are kept; "" is runs/lesson
network: str = ""  # a trained network: a file, a run folder, or the name of a shipped one; "" takes the run's
image_size: int = 128  # side to which pictures are resized [px]
max_images: int = 4000  # pictures used, drawn by whole groups; 0 takes all
n_images: int = 4  # pictures compared, chosen by a rule
n_channels: int = 5  # channels shown of each layer
seed: int = 0  # fixes every random choice

# %%
import keras
import matplotlib.pyplot as plt
import numpy as np

import crackviz as cv
from crackviz.claims import claim
from crackviz.contracts import check_number

run = cv.series.open_run(run, "05_activation_maps")
for name, value in {"n_images": n_images, "n_channels": n_channels}.items():
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
answers = cv.attribution.logits(model, cv.data.load_images(asked["path"], image_size))
test = cv.evaluation.examples(asked, answers, n_images)
images = cv.data.load_images(test["path"], image_size)
logits = cv.attribution.logits(model, images)
print(net.origin)

# %% [markdown]
# A rule picks the patches, from at most four hundred that the network hasn't seen: the two surest cracks, the surest sound one and the surest mistake. (With a larger `n_images` there follow a sound one with a distractor, and the next surest.) Each comes from another wall, as long as there is one. The patch that we
# follow is the one that the network finds most like a crack.

# %%
patch = images[[logits.argmax()]]
logit = logits.max()
ladder = cv.attribution.ladder(model)
ladder[["kind", "height", "channels", "stride", "receptive_field"]]

# %% [markdown]
# Each row is a layer that hands on maps. From top to bottom the maps shrink (`height`, in cells), there are more of them (`channels`), and each of their cells depends on a larger square of pixels (`receptive_field`).
#
# ## Through the layers
#
# A layer has dozens of channels. We don't show the first few, nor the prettiest, but those with the largest **contribution** to the logit of this patch. It stands above each map: the map times the gradient of the
# logit, summed over the cells. Positive speaks for a crack, negative against it. At the last layer this is what a channel adds to the logit. At earlier ones it is a rough guide to what matters, and no more, as we shall see.

# %%
steps = cv.features.follow(model, patch)
convolutions = [name for name in steps if ladder.loc[name, "kind"] == "Conv2D"]
for name in convolutions:
    step = steps[name]
    display = cv.plots.ActivationMapsDisplay.from_maps(
        patch,
        step.maps,
        channels=step.channels,
        contributions=step.contributions,
        titles=[f"convolution {convolutions.index(name) + 1}:\n{step.maps.shape[1]} × {step.maps.shape[2]} cells"],
        count=n_channels,
        scale="image",
    )
    _ = cv.series.save_figure(
        run,
        display.figure_,
        f"05_{name}",
        alt="The patch, and beside it maps of one convolution: those of its channels with the largest contributions, which stand above.",
    )

# %% [markdown]
# Each map is drawn on its own scale, which is written above it, and cell by cell: nothing is smoothed. Read the rows from top to bottom.
#
# - **The first layer** still looks like the patch, finely drawn: what is dark, or bright, or an edge. Whatever else on the surface is so is there as well as the crack.
# - **In the middle** most maps have gone dark where there is nothing but surface. What remains are stretches of line.
# - **The last layer** is coarse. A map with a plus sign above it should be bright along the crack. A channel that speaks *against* a crack has a minus sign; if one is among those drawn, look what it answers to.
#
# The network has thrown away what it doesn't need for its answer, where the edge lies to the pixel included. This is why maps of deep layers are coarse, and why no enlargement brings the detail back.
#
# Are these really the layer's maps, and not a picture made for the occasion? We ask Keras for the layer's output, and compare.

# %%
last = cv.attribution.default_layer(model)
output = keras.Model(model.inputs[0], model.get_layer(last).output)(patch).numpy()
claim(
    "T5.1",
    "the maps are the layer's output, with the channels in another order",
    np.abs(output[..., steps[last].channels[0]] - steps[last].maps).max() / output.max(),
    "<",
    1e-4,
    identity=True,
)

# %% [markdown]
# ## How much silence
#
# A ReLU cuts off what is negative, so many cells are exactly zero. The share of cells that say anything, layer by layer:

# %%
for name, step in steps.items():
    if ladder.loc[name, "kind"] == "Rescaling":  # no ReLU before it
        continue
    speaking = (step.maps > 0).mean()
    silent = (~(step.maps > 0).any(axis=(0, 1, 2))).sum()
    print(
        f"{name:8s} {speaking:5.0%} of the cells are above zero; {silent} of {step.maps.shape[3]} channels are silent everywhere"
    )

# %% [markdown]
# A channel that is silent on one patch may speak on another. One that is silent on all of them is *dead*: its ReLU never opens, so no gradient reaches it, and if it lies in the first layer, training can't bring it back. (A deeper one may come back, when the layers before it move.)
#
# ## What one cell sees
#
# Take the cell of the last layer that excites its strongest channel most, and draw what it sees. Then step back, layer by layer, to the cell that lies behind the same spot.

# %%
strongest = steps[last].maps[0, :, :, 0]
row, column = np.unravel_index(strongest.argmax(), strongest.shape)
boxes = {}
for name in convolutions:
    ratio = ladder.loc[last, "stride"] / ladder.loc[name, "stride"]
    cell = tuple(min(int((place + 0.5) * ratio), ladder.loc[name, "height"] - 1) for place in (row, column))
    boxes[name] = cv.features.field_box(model, name, cell, clip=False)

# %%
titles = [
    f"convolution {number}\nsees {ladder.loc[name, 'receptive_field']:.0f} px"
    for number, name in enumerate(convolutions, 1)
]
display = cv.plots.ImagesDisplay.from_images(patch.repeat(len(boxes), axis=0), titles=titles)
for axis, (top, left, bottom, right) in zip(display.ax_.flat, boxes.values(), strict=False):
    cv.plots.square(axis, ((top + bottom) / 2, (left + right) / 2), bottom - top)
_ = cv.series.save_figure(
    run,
    display.figure_,
    "05_fields",
    alt="The patch, once for each convolution; a square in it marks what one cell of that layer sees, and grows from layer to layer.",
)

# %% [markdown]
# Each square is what one cell sees, and its middle is the cell's place. The crack needn't lie in the middle, or in the smallest square at all: the strongest cell of the last layer may well lie beside the crack that it sees.
#
# The first layer's cell sees a few pixels: an edge, at most. The last layer's sees a piece of crack with its surroundings. Whatever it knows, it knows from inside this square; how the crack goes on beyond, it can't know.
#
# That is a strong statement, so we test it: paint everything outside the square grey. The cell mustn't notice.

# %%
top, left, bottom, right = cv.features.field_box(model, last, (int(row), int(column)))
painted = np.full_like(patch, 0.5)
painted[:, top:bottom, left:right] = patch[:, top:bottom, left:right]
seen = cv.features.activation_maps(model, np.concatenate([patch, painted]), last, order=None).maps
print(
    "strongest changes, at the cell and anywhere:",
    np.ptp(seen[:, row, column], axis=0).max(),
    np.ptp(seen, axis=0).max(),
)

# %%
claim(
    "T5.2",
    "painting over all that lies outside its receptive field changes nothing for a cell, and much for others",
    np.ptp(seen, axis=0).max() / seen.max(),
    ">",
    0.1,
    provided=np.allclose(seen[0, row, column], seen[1, row, column], rtol=1e-4, atol=1e-4),
)

# %% [markdown]
# ## Moving the patch moves the maps
#
# The same filter is laid over every place. So if the crack moves, its trace in the maps must move along: by one cell for as many pixels as the stride. (At the border something else comes into view, so we compare the cells in the middle.)

# %%
stride = int(ladder.loc[last, "stride"])
margin = int(np.ceil(ladder.loc[last, "receptive_field"] / 2 / stride)) + 1
moved = np.roll(patch, stride, axis=2)
both = cv.features.activation_maps(model, np.concatenate([patch, moved]), last, order=None).maps
middle = slice(margin, both.shape[1] - margin)
before, after = both[0, middle, margin : -margin - 1], both[1, middle, margin + 1 : -margin]
claim(
    "T5.3",
    "a patch moved by the stride has its maps moved by one cell, away from the border",
    np.max(np.abs(before - after), initial=0),
    "<",
    1e-3,
    provided=np.max(before, initial=0) > 0,
    identity=True,
)

# %% [markdown]
# This is built in, not learnt; the reason for convolutions. It holds for steps of whole cells. A step of one pixel may change the maps a little.
#
# ## Cracked and sound, side by side
#
# Now several patches, with the same channels in the same columns: those of the largest contributions, over all the patches. One scale for all.

# %%
compared = cv.features.activation_maps(model, images, last, order="shared")
reasons = test["why"].str.replace(" and ", "\nand ")  # on two lines, where long
display = cv.plots.ActivationMapsDisplay.from_maps(
    images,
    compared.maps,
    channels=compared.channels,
    contributions=compared.contributions,
    titles=[f"{why}\nlogit {value:+.1f}" for why, value in zip(reasons, logits, strict=True)],
    count=n_channels,
)
_ = cv.series.save_figure(
    run,
    display.figure_,
    "05_compared",
    alt="A row for each patch, and beside it the maps of the same channels of the last layer on one scale, with each channel's contribution above.",
)

# %% [markdown]
# These are the channels with the largest contributions. Do they also tell cracked from sound? Read down a column. Numbers that are large on the cracks and next to nothing on the sound patch belong to a channel that finds cracks; look in the same
# column at the mistake, for what else it takes for one. Numbers that are much alike on all patches belong to a channel that answers to plain surface, and works like a second bias. What tells the patches apart is how much the numbers of a
# column *change*, and weaker channels that aren't drawn.
#
# ## The average, and the logit
#
# What is left is arithmetic. Each map of the last layer is averaged over its cells, $\bar A_c$; the average is multiplied by the channel's weight, $w_c$; the products are added, and the bias with them:
#
# $$z = b + \sum_c w_c \bar A_c .$$
#
# At this layer, the contribution of a channel *is* $w_c \bar A_c$. So the contributions must add up.

# %%
bias = cv.attribution.bias(model)[0]
error = np.abs(compared.contributions.sum(axis=1) + bias - logits)
claim(
    "T5.4",
    "the contributions of the last layer's channels and the bias add up to the logit",
    (error / (1 + np.abs(logits))).max(),
    "<",
    1e-4,
    identity=True,
)

# %%
figure, axis = plt.subplots(figsize=(10, 4.6), layout="constrained")
markers = "osD^vP*X"
for i, (values, total) in enumerate(zip(compared.contributions, logits, strict=True)):
    running = bias + np.concatenate([[0], np.cumsum(values)])
    label = f"{test['why'].iloc[i]}, logit {total:+.1f}"
    axis.plot(running, markers[i % len(markers)] + "-", color=cv.plots.COLORS[i % 10], markersize=5, label=label)
axis.axhline(0, color="0.5", linewidth=1)
axis.set_xlabel("channels added, those of the largest contributions first", fontsize=12)
axis.set_ylabel("bias and contributions so far [logits]", fontsize=12)
figure.legend(fontsize=11, loc="outside upper center", ncols=2, frameon=False)
_ = cv.series.save_figure(
    run,
    figure,
    "05_sum",
    alt="A line for each patch: the bias and the channels' contributions added up one after the other, until its logit is reached.",
)

# %%
most = compared.contributions[logits.argmax()]
print(
    f"the surest crack: {(most > 0).sum()} channels for it, {most.clip(min=0).sum():.1f} in all, {most.max():.1f} the largest;"
)
print(f"{(most < 0).sum()} against it, {most.clip(max=0).sum():.1f} in all, {most.min():.1f} the largest")

# %% [markdown]
# All the lines start at the bias and end at their patch's logit. No channel decides alone: it takes many steps from the one to the other. Where do the lines part? If at the first channels, the strong ones tell the patches apart; if later, the strong
# ones say nearly the same about every patch, and many weaker ones decide, each by a little.
#
# Is a contribution more than book-keeping? If it is what the channel does, silencing the channel must cost exactly that much. We set the weight of the strongest channel to zero.

# %%
channel = steps[last].channels[0, 0]
silenced = keras.models.clone_model(model)
silenced.set_weights(model.get_weights())
kernel, offset = silenced.get_layer("logit").get_weights()
kernel[channel] = 0
silenced.get_layer("logit").set_weights([kernel, offset])
fall = logit - cv.attribution.logits(silenced, patch)[0]
print(f"channel {channel}: contribution {steps[last].contributions[0, 0]:+.3f}, the logit falls by {fall:+.3f}")

# %%
claim(
    "T5.5",
    "silencing a channel of the last layer takes its contribution off the logit, exactly",
    abs(fall - steps[last].contributions[0, 0]),
    "<",
    1e-3,
    identity=True,
)

# %% [markdown]
# At an earlier layer it doesn't hold. What follows isn't a sum any more but ReLUs and maxima: silence one channel, and others take its place, or fall silent, too. So what silencing really costs may be far from the contribution. We silence each channel of the first layer
# in turn, for all of these patches.

# %%
first = convolutions[0]
early = cv.features.activation_maps(model, images, first, order="shared")
falls = np.empty_like(early.contributions)  # of the logit; (patches, channels)
for place, channel in enumerate(early.channels[0]):
    silenced.set_weights(model.get_weights())
    kernel, offset = silenced.get_layer(first).get_weights()
    kernel[..., channel], offset[channel] = 0, 0
    silenced.get_layer(first).set_weights([kernel, offset])
    falls[:, place] = logits - cv.attribution.logits(silenced, images)
off = np.abs(falls - early.contributions)
worst = np.unravel_index(off.argmax(), off.shape)
print(f"farthest apart: contribution {early.contributions[worst]:+.1f}, the logit falls by {falls[worst]:+.1f}")

# %%
claim(
    "T5.6",
    "at the first layer, silencing a channel costs something else than its contribution: they differ by over a hundredth of their size",
    off.sum() / (np.abs(falls) + np.abs(early.contributions)).sum(),
    ">",
    0.01,
)

# %% [markdown]
# ## What activation maps can't tell
#
# - **Meaning.** "The crack channel" is a name that we give. A channel answers to many things, and many channels to a crack.
# - **Importance.** A bright map with a small weight does nothing. Look at the contribution, not at the colour.
# - **Cause.** That a cell is bright *at* the crack doesn't say that it is bright *because of* it. Notebook 07 covers places up to find out.
#
# ## To remember
#
# - Each layer's maps are the picture, seen by that layer's filters.
# - Deeper cells see more of the picture, and say less exactly where.
# - A dead filter answers to nothing on all pictures.
# - The logit is the bias and a weighted sum of the last maps' averages, so each channel's share can be read off.
# - Moving the picture by a stride moves the map by a cell; by one pixel it doesn't.
#
# **Two questions**
#
# <details><summary>A cell of the last map is 8 px wide. Does it see 8 px?</summary>
#
# It sees more: its receptive field, here several times as wide.
#
# </details>
#
# <details><summary>Two channels have equal mean activation. Do they count alike?</summary>
#
# Only if their weights in the last layer are alike, too.
#
# </details>
#
# ## Exercises
#
# ★ is read off, ★★ takes a line or two, ★★★ is written. Put your answer in place of the dots and run the cell: it tells you whether it is right, or what is wrong with it.
#
# **05.1** ★ Add the maps of all channels of the last layer, each times its weight. What is the result called: `"activation map"`, `"class activation map"` or `"receptive field"`?

# %% tags=["exercise"]
answer = ...
cv.series.exercise("05.1", answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# It is the class activation map of notebook 00; notebook 06 derives it.
#
# ```python
# answer = "class activation map"
# ```
#
# </details>
#
# **05.2** ★★ Do it for `patch`: `cv.attribution.cam` gives that map, enlarged. Get its cells as they are, with `upsample=False`.

# %% tags=["exercise"]
answer = ...
cv.series.exercise("05.2", answer, of=(model, patch))

# %% [markdown]
# <details><summary>Solution</summary>
#
# It has as many cells as the maps of the last layer. Their sum is the logit less the bias.
#
# ```python
# answer = cv.attribution.cam(model, patch, upsample=False)
# ```
#
# </details>
#
# **05.3** ★★★ Write `def answer(maps, weights):` for the maps of one picture, (rows, columns, channels), and the weights of the logit, (channels,). It returns each channel's contribution to the logit.

# %% tags=["exercise"]
answer = ...
cv.series.exercise("05.3", answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# The average of each map times the weight of its channel, $w_c \bar A_c$.
#
# ```python
# def answer(maps, weights):
#     return maps.mean(axis=(0, 1)) * weights
# ```
#
# </details>
#
# **To go on**, without a check:
#
# 1. Follow a sound patch: `patch = images[[logits.argmin()]]`. Which channels carry the "no"?
# 2. Roll the patch by one pixel instead of the stride. How much do the maps of the last layer change, and why at all?
#
# <details><summary>Solutions</summary>
#
# 1: those with a negative weight that answer to plain surface, and the bias. 2: noticeably: a pixel is a fraction of a cell, and which pixels share a pooling window changes.
#
# </details>

# %%
cv.series.write_results(
    run,
    "05_activation_maps",
    {
        "model": net.origin,
        "layer": last,
        "receptive field [px]": int(ladder.loc[last, "receptive_field"]),
        "strongest channel": int(steps[last].channels[0, 0]),
        "its contribution [logits]": float(steps[last].contributions[0, 0]),
        "largest error of the sum [logits]": float(error.max()),
    },
)
