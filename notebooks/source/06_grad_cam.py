# %% [markdown]
# # 06 · Grad-CAM
#
# We derive the best-known attribution method in a few lines, build it by hand, prove that it adds up, and find out what it can't show. At the
# end you will know what every coloured pixel means, which is more than most papers with heat maps in them can say.
#
# | | |
# |---|---|
# | **You will learn** | to derive Grad-CAM, write it yourself, check it, read both classes off one map, choose the layer |
# | **Time** | 45 minutes to read, under a minute to run |
# | **Theory** | [T6 Grad-CAM](../THEORY.md#t6-grad-cam) |
# | **Afterwards** | [07 Attribution methods](07_attribution_methods.ipynb) |

# %% tags=["parameters"]
data: str = ""  # folder with pictures; "" is synthetic concrete, made here
crack_class: str = ""  # the folder whose pictures show cracks, where its name doesn't say so
groups: str = ""  # which pictures show one place: "folder:1", a pattern, a CSV file; "" goes by file names
run: str = ""  # run folder, where results are kept; "" is runs/lesson
network: str = ""  # a trained network: a file, a run folder, or the name of a shipped one; "" takes the run's
image_size: int = 128  # side to which pictures are resized [px]
max_images: int = 4000  # pictures used, drawn by whole groups; 0 takes all
n_images: int = 5  # pictures explained here, chosen by a rule
seed: int = 0  # fixes every random choice

# %%
import keras
import numpy as np
import tensorflow as tf

import crackviz as cv
from crackviz.claims import claim
from crackviz.contracts import check_number

run = cv.series.open_run(run, "06_grad_cam")
check_number("n_images", n_images, 1, whole=True)
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
test[["why", "logit"]].reset_index(drop=True).round(1)

# %% [markdown]
# These are the pictures that we shall explain. A rule picks them, from at most four hundred that the network hasn't seen. They are the two surest cracks, the surest sound patch, the surest mistake, and a sound patch with a distractor that was answered rightly, but only just. (With a larger `n_images` the next surest follow.) Each comes from another wall, as long as there is one.

# %% [markdown]
# ## What the network computes at its end
#
# The last convolution gives a stack of maps, $A_{ijc}$: one for each of its channels, each with a value in every cell. Each map is averaged; the
# averages are weighed and summed. That is the logit,
#
# $$z = \sum_c w_c \frac{1}{hv} \sum_{i,j} A_{ijc} + b .$$

# %%
layer = cv.attribution.default_layer(model)
part = keras.Model(model.inputs[0], model.get_layer(layer).output)
activations = part(images).numpy()
kernel, bias = model.get_layer("logit").get_weights()
sums = cv.attribution.adds_up(model)  # "", or why the maps of a network that ends in another way needn't add up
weights = np.full(activations.shape[-1], np.nan) if sums else kernel[:, 0]
print(layer, activations.shape, "weights", kernel.shape, "bias", bias.shape)

# %%
by_hand = activations.mean(axis=(1, 2)) @ weights + bias[0]
print("by hand    ", by_hand.round(3))
print("the network", logits.round(3))

# %% [markdown]
# ## Leave out the average
#
# The sum over cells comes last but one. If we don't carry it out, a map is left: how much *each cell* adds to the logit.
#
# $$L_{ij} = \sum_c \frac{w_c}{hv} A_{ijc}$$
#
# This is the **class activation map** (CAM, Zhou et al. 2016). Here it is, in one line.

# %%
cells = activations.shape[1] * activations.shape[2]
cam = activations @ weights / cells
print(cam.shape)

# %% [markdown]
# ## The gradient instead of the weights
#
# CAM needs a network that ends like ours. Grad-CAM (Selvaraju et al. 2017) needs only that the logit can be differentiated: how much would it
# rise if channel $c$ rose a little, everywhere?
#
# $$L_{ij} = \sum_c \alpha_c A_{ijc}, \qquad \alpha_c = \frac{1}{hv} \sum_{i,j} \frac{\partial z}{\partial A_{ijc}}$$
#
# We write it out. TensorFlow's tape records the forward pass and then gives the derivative. The last line is the sum of the formula: `einsum` takes its indices by their letters, $n$ for the picture, and adds up over the one that is missing on the right. In words, for each picture `n` and each cell `i, j`: `map[n, i, j] = sum(A[n, i, j, c] * alpha[n, c] for c in channels)`.

# %%
whole = keras.Model(model.inputs[0], [model.get_layer(layer).output, model.get_layer("logit").output])
with tf.GradientTape() as tape:
    A, z = whole(images)
gradient = tape.gradient(z, A).numpy()
alpha = gradient.mean(axis=(1, 2), dtype=float)  # in double precision: there may be thousands of cells
grad_cam = np.einsum("nijc,nc->nij", A.numpy(), alpha)

# %%
library = cv.attribution.grad_cam(model, images, upsample=False)
largest = np.abs(library).max()
claim(
    "T6.1",
    "a few lines give the library's map",
    np.abs(grad_cam - library).max() / largest,
    "<",
    1e-4,
    identity=True,
)

# %% [markdown]
# ## It adds up
#
# Sum the map over its cells and you have undone what we did: the logit comes back, less the bias. Not approximately, and
# not for nice pictures only.

# %%
error = np.abs(grad_cam.sum(axis=(1, 2)) - (logits - bias[0]))
claim(
    "T6.2",
    "the signed map sums to the logit less the bias",
    (error / (1 + np.abs(logits))).max(),
    "<",
    1e-4,
    identity=True,
    unless=sums,
)

# %%
off_cam = np.abs(grad_cam - cam).max() / largest
claim("T6.3", "at this layer Grad-CAM is CAM", off_cam, "<", 1e-4, identity=True, unless=sums)

# %%
maps = cv.attribution.grad_cam(model, images)
reasons = test["why"].str.replace(" and ", "\nand ")  # on two lines, where long
titles = [f"{why}\nlogit {value:+.1f}" for why, value in zip(reasons, logits, strict=True)]
masks = cv.data.load_masks(test["mask"], image_size) if (test["mask"] != "").all() else None
display = cv.plots.AttributionDisplay.from_maps(images, maps, titles=titles, masks=masks)
_ = cv.series.save_figure(
    run,
    display.figure_,
    "06_signed_map",
    alt="Each patch, and below it the same patch under its Grad-CAM map: red speaks for a crack, blue against it, in logits per cell.",
)

# %% [markdown]
# ## Both classes in one map
#
# The usual heat map shows the positive part only, each map stretched to full colour. Here is that display for some of these patches,
# from the same maps. Compare it with the figure above. On a sound patch such a display either shows nothing at all, although the network had
# its reasons; or it paints some place in full colour, because *something* is always the largest.

# %%
usual = maps.clip(min=0)
usual = usual / usual.max(axis=(1, 2), keepdims=True).clip(min=1e-9)
sound = test["label"].to_numpy() == 0
calm = sound & (logits < 0)  # sound patches, and called so
three = [*np.flatnonzero(~sound)[:1], *np.flatnonzero(calm)[:2]]
display = cv.plots.AttributionDisplay.from_maps(
    images[three], usual[three], titles=[titles[i] for i in three], label="share of the map's own maximum"
)
_ = cv.series.save_figure(
    run,
    display.figure_,
    "06_usual_map",
    alt="Patches, and below them the usual display: the positive part of each map alone, in orange, stretched to its own maximum.",
)

# %% [markdown]
# The negative part, which this display throws away, may be spread thin: many cells with little in each. To see it, we draw the sound
# patches again, on a scale that is full where a cell says most *against* a crack. Compare the numbers at the colour bar with those of the first figure: how much thinner is it?

# %%
calm = calm if calm.any() else np.ones_like(calm)
finer = max(float(-maps[calm].min()), 1e-6)
display = cv.plots.AttributionDisplay.from_maps(
    images[calm], maps[calm], titles=[titles[i] for i in np.flatnonzero(calm)], scale=(-finer, finer)
)
_ = cv.series.save_figure(
    run,
    display.figure_,
    "06_sound_patches",
    alt="Patches and their maps on a finer scale, on which also weak evidence against a crack shows in blue.",
)

# %% [markdown]
# If you see a frame along the border, it isn't concrete: there the convolutions see padding, zeros beyond the edge, so those cells say something else than
# the middle. Every network with padding has such a frame; mostly it doesn't show on the usual scale.
#
# We check it, on some more patches. Mirror each picture at its border, so that the convolutions meet concrete there instead of zeros. The same weights, laid over the larger picture, give a
# larger map; we cut out the part that belongs to the patch.

# %%
more = cv.data.load_images(asked["path"].head(32), image_size)
more_logits = answers[:32]
ladder = cv.attribution.ladder(model)
stride, field = (ladder.loc[layer, "stride"], ladder.loc[layer, "receptive_field"])
change, more_cam, rim = *[np.full((len(more), *cam.shape[1:]), np.nan)] * 2, 1
if not sums and not net.foreign:
    rim = int(field // 2 // stride + 1)  # cells from which the border can be seen
    around = int(rim * stride)
    mirrored = np.pad(more, ((0, 0), (around, around), (around, around), (0, 0)), mode="reflect")
    wide = keras.models.clone_model(part, input_tensors=keras.Input(mirrored.shape[1:]))
    wide.set_weights(part.get_weights())
    more_cam = part(more).numpy() @ weights / cells
    change = more_cam - wide(mirrored).numpy()[:, rim:-rim, rim:-rim] @ weights / cells
padding = change.sum(axis=(1, 2))  # what it adds to each logit
print(f"padding speaks against a crack on {(padding < 0).sum()} of {len(more)} patches;", end=" ")
kinds = asked["label"].head(32).to_numpy()
print(
    "on average it adds",
    *(f"{padding[kinds == n].mean():+.1f} to {name}" for n, name in ((1, "cracked,"), (0, "sound ones"))),
)

# %%
claim(
    "T6.4",
    "with a mirrored border in place of zeros the middle doesn't change, and the cells near it do: in all by over two hundredths of the map",
    np.abs(change).sum() / np.abs(more_cam).sum(),
    ">",
    0.02,
    provided=np.allclose(change[:, rim:-rim, rim:-rim], 0, atol=1e-5),
    unless=sums or net.foreign,
)

# %% [markdown]
# So a part of every logit is about the border of the picture. The line above says in which direction, and whether it is larger on cracked patches. Part of that is the mirror's: it also prolongs a crack that runs off the picture, and no photograph shows it.
#
# The negative part is the explanation of the *other* answer. "No crack" has the logit $-z$, so its
# map is $-L$.

# %%
no_crack = cv.attribution.grad_cam(model, images, target="no_crack", upsample=False)
overlap = no_crack.clip(min=0) * library.clip(min=0)
claim(
    "T6.5",
    "the map of no_crack is that of crack with the sign turned, and the two never overlap",
    np.abs(no_crack + library).max() / largest,
    "<",
    1e-5,
    provided=not overlap.any(),
    identity=True,
)

# %% [markdown]
# ## Why the logit
#
# Many programs differentiate the *probability*. Watch what happens to a network that is very sure: we raise its bias until every
# probability is 1, which changes no map and no ranking.

# %%
sure = keras.models.clone_model(model)
sure.set_weights([*model.get_weights()[:-1], model.get_weights()[-1] + 50 - min(0, logits.min())])
inner = keras.Model(sure.inputs[0], [sure.get_layer(layer).output, sure.outputs[0]])
with tf.GradientTape() as tape:
    A, p = inner(images)
of_probability = tape.gradient(p, A).numpy()
print("probabilities", p.numpy()[:, 0])
print("largest gradient of the probability", np.abs(of_probability).max())

# %%
of_logit = cv.attribution.grad_cam(sure, images, upsample=False)
claim(
    "T6.6",
    "where the probability is 1 its gradient is zero, and the logit's map is unchanged",
    np.abs(of_probability).max(),
    "==",
    0,
    provided=bool((p.numpy() == 1).all()) and np.allclose(of_logit, library, rtol=1e-4, atol=1e-5),
    identity=True,
)

# %% [markdown]
# ## What one cell sees
#
# Before believing that "the network looked *there*", ask how large *there* is. The table lists, for every layer, how many pixels lie between
# two cells (stride) and how wide a square of pixels one cell depends on (receptive field).

# %%
ladder[["kind", "height", "channels", "stride", "receptive_field"]]

# %% [markdown]
# This was computed from kernel sizes. We check it by the gradient: which pixels can move one cell in the middle of the last map at all?

# %%
middle = activations.shape[1] // 2
x = tf.convert_to_tensor(np.random.default_rng(seed).random((4, image_size, image_size, 3), np.float32))
with tf.GradientTape() as tape:
    tape.watch(x)
    cell = tf.reduce_sum(part(x)[:, middle, middle])
moved = np.abs(tape.gradient(cell, x).numpy()).sum(axis=(0, 3)) > 0
rows, columns = np.flatnonzero(moved.any(1)), np.flatnonzero(moved.any(0))
print(f"by hand:     rows {rows[0]} to {rows[-1]}, columns {columns[0]} to {columns[-1]}")
measured = cv.attribution.measured_field(model, x.numpy(), layer)
print(
    f"the library: rows {measured[0].start} to {measured[0].stop - 1}, columns {measured[1].start} to {measured[1].stop - 1}"
)

# %%
claim(
    "T6.7",
    "a cell depends on no pixel outside its receptive field",
    max(np.ptp(rows), np.ptp(columns)) + 1,
    "<=",
    field,
    identity=True,
    unless="" if np.isfinite(field) else "what a cell of this network sees can't be told from its layers",
)

# %% [markdown]
# ## Choosing the layer
#
# An earlier layer has finer cells. Does it give a sharper map? We climb the ladder. Above each column stands how wide a cell of the layer is and how much one cell sees; in the
# first row both are drawn, for the cell in the middle. Each map has a scale of its own, in logits per cell, which is written above it: compare the numbers, not the colours.

# %%
convolutions = [name for name in ladder.index if ladder.loc[name, "kind"] == "Conv2D"] or [layer]
convolutions = convolutions[:: -(-len(convolutions) // 6)]  # of a deep network every second, every third, ...
examples = [0, np.flatnonzero(sound)[0]] if sound.any() else [0]  # the surest of either class
steps = {name: cv.attribution.grad_cam(model, images[examples], layer=name) for name in convolutions}
display = cv.plots.LadderDisplay.from_maps(images[examples], steps, ladder, logits=logits[examples], scale="image")
_ = cv.series.save_figure(
    run,
    display.figure_,
    "06_ladder",
    alt="Patches in rows and layers in columns: the map of each convolution on a scale of its own; in the first row squares mark one cell and what it sees.",
)

# %% [markdown]
# Finer, yes, but no longer an account: what lies between that layer and the logit bends the numbers, and one averaged gradient can't follow. Add
# each rung's map up, and compare it with what there is to explain.

# %%
evidence = logits[examples] - bias[0]
totals = {
    name: cv.attribution.grad_cam(model, images[examples], layer=name, upsample=False).sum((1, 2))
    for name in convolutions
}
for name, total in totals.items():
    print(
        f"{name:8s}",
        "  ".join(f"{value:+8.1f}" for value in total),
        "  of",
        "  ".join(f"{value:+.1f}" for value in evidence),
    )

# %%
earlier = cv.attribution.grad_cam(model, more, layer=convolutions[0], upsample=False)
there = more_logits - bias[0]  # what there is to explain
off = np.abs(earlier.sum(axis=(1, 2)) - there)
print(
    f"first layer, {len(more)} patches: off by {off.mean():.1f} on average, where there is {np.abs(there).mean():.1f}"
)

# %%
claim(
    "T6.8",
    "at the first layer the sum of the map is off, on average, by over half of the logit less the bias",
    off.mean() / np.abs(there).mean(),
    ">",
    0.5,
    unless=sums or net.foreign,
)

# %% [markdown]
# The totals of the early rungs may be far off, and even have the wrong sign. So the ladder is read from its top: take the last layer that still has a
# map, because it alone is exact, and say how wide its cells are and what they see. If that is too coarse for a thin crack, don't climb down: notebook 07 has a map that keeps
# the sum of the last layer and lets earlier ones say where.
#
# ## What Grad-CAM can't tell
#
# - **Where in the cell.** The red blob is as wide as a cell's surroundings, and its middle may lie beside the crack.
# - **What if.** It doesn't say what the network would answer if that place were covered.
# - **Whether it is right.** An exact map of a wrong reason is exact.
#
# ## To remember
#
# - Grad-CAM weighs each channel by the mean slope of the logit.
# - At the last layer before the average, it adds up to the logit less the bias.
# - Take the slope of the logit: that of the probability vanishes when the network is sure.
# - Keep the negative part: it is what speaks against a crack.
# - At earlier layers the map is sharper, and no longer an account.
#
# **Two questions**
#
# <details><summary>Why does the usual display hide the evidence against a crack?</summary>
#
# It cuts off what is below 0, and stretches the rest.
#
# </details>
#
# <details><summary>The map is zero everywhere. Is something broken?</summary>
#
# Not necessarily: evidence for and against may both be absent; the logit is then the bias.
#
# </details>
#
# ## Exercises
#
# ★ is read off, ★★ takes a line or two, ★★★ is written. Put your answer in place of the dots and run the cell: it tells you whether it is right, or what is wrong with it.
#
# **06.1** ★ Double all the weights of the logit layer, and the bias. Which of these stay as they are: `"maps"`, `"logits"`, `"probabilities"`, `"decisions"`? Decisions are taken at 0.5. Give a set.

# %% tags=["exercise"]
answer = ...
cv.series.exercise("06.1", answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# Maps and logits double; probabilities move towards 0 and 1; decisions at 0.5 stay.
#
# ```python
# answer = {"decisions"}
# ```
#
# </details>
#
# **06.2** ★★ Replace the mean of the gradient by the gradient itself, $\sum_c \frac{\partial z}{\partial A_{ijc}} A_{ijc}$. This is HiResCAM. Change the line with `einsum` above.

# %% tags=["exercise"]
answer = ...
cv.series.exercise("06.2", answer, of=(model, images))

# %% [markdown]
# <details><summary>Solution</summary>
#
# At this layer the gradient is the same in every cell, so its mean is the gradient, and the map is that of Grad-CAM. At the first layer it isn't, and the two maps differ.
#
# ```python
# with tf.GradientTape() as tape:
#     A, z = whole(images)
# answer = (tape.gradient(z, A).numpy() * A.numpy()).sum(axis=-1)
# ```
#
# </details>
#
# **06.3** ★★★ Write `def answer(activations, weights):` that returns the class activation map: activations are (pictures, rows, columns, channels), weights (channels,), and the map of a picture sums to its logit less the bias.

# %% tags=["exercise"]
answer = ...
cv.series.exercise("06.3", answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# The weighted sum over the channels, divided by the number of cells.
#
# ```python
# def answer(activations, weights):
#     return activations @ weights / (activations.shape[1] * activations.shape[2])
# ```
#
# </details>
#
# **To go on**, without a check:
#
# 1. Explain a picture of your own: `cv.data.load_images(["patch.jpg"], image_size)`, a patch cut from a photograph, not the whole of it. Would you send someone up?

# %%
cv.series.write_results(
    run,
    "06_grad_cam",
    {
        "model": net.origin,
        "layer": layer,
        "cell [px]": float(ladder.loc[layer, "stride"]),
        "receptive field [px]": field,
        "largest error of the sum [logits]": float(error.max()),
    },
)
