# %% [markdown]
# # 04 · What filters look for
#
# A convolutional network is a stack of filters. What is each of them looking for? There are three ways to ask: read its weights, which works for
# the first layer only; synthesise the picture that excites it most; or search real pictures for the places that do. This notebook asks in all three ways,
# lays the answers side by side, and says what they can't tell.
#
# | | |
# |---|---|
# | **You will learn** | to read first-layer kernels, to synthesise what deeper filters and the class respond to, to find the patches that excite a filter most, and to doubt all three |
# | **Time** | 35 minutes to read, a minute and a half to run |
# | **Theory** | [T4 Filters](../THEORY.md#t4-filters) |

# %% tags=["parameters"]
data: str = ""  # folder with pictures; "" is synthetic concrete, made here
crack_class: str = ""  # the folder whose pictures show cracks, where its name doesn't say so
groups: str = ""  # which pictures show one place: "folder:1", a pattern, a CSV file; "" goes by file names
run: str = ""  # run folder, where results are kept; "" is runs/lesson
network: str = ""  # a trained network: a file, a run folder, or the name of a shipped one; "" takes the run's
image_size: int = 128  # side to which pictures are resized [px]
max_images: int = 4000  # pictures used, drawn by whole groups; 0 takes all
n_filters: int = 4  # filters looked at in each layer
n_patches: int = 5  # patches found for each filter
n_searched: int = 400  # pictures searched for such patches
steps: int = 100  # steps of gradient ascent
seed: int = 0  # fixes every random choice

# %%
from dataclasses import replace

import keras
import numpy as np

import crackviz as cv
from crackviz.claims import claim
from crackviz.contracts import check_number

run = cv.series.open_run(run, "04_filters")
for name, value in {"n_filters": n_filters, "n_patches": n_patches, "n_searched": n_searched, "steps": steps}.items():
    check_number(name, value, 1, whole=True)
net = cv.models.find(run, "gap_cnn_deep", network)
model = net.load()
image_size = cv.models.size_for(model, image_size)
table = cv.data.prepare(
    data, run / "split.csv", max_images=max_images, seed=seed, crack_class=crack_class, groups=groups
)

# %%
fair = cv.training.unseen(net, table)  # of the test part, and new to the network
searched = fair.sample(frac=1, random_state=seed).drop_duplicates("group").head(n_searched)  # no near-duplicates
print(net.origin)
print(f"{len(searched)} pictures are searched")

# %%
cv.models.summary(model)

# %% [markdown]
# Each row is a layer, from the picture at the top to the answer at the bottom. A `Conv2D` is a convolution, and each of its channels is one filter: an output of
# 64 × 64 × 16, say, is 16 filters, each with a map of 64 × 64 places. On the way down the maps get smaller, and the filters more.
#
# ## Reading the first layer
#
# A filter of the first layer is a small picture itself: a few pixels of red, green and blue weights. It is laid over the image at every place; weights
# and pixels are multiplied and summed, the filter's bias is added, and what is negative is cut off. So a filter answers where the picture *looks like* its weights.
#
# Weights have signs, so they can't be shown as light. We draw weight 0 as mid-grey, the largest weight of all the filters as full colour, its negative as none. That is
# one scale for all the filters, and nothing is stretched.

# %%
weights = cv.features.kernels(model)
colours, limits = cv.features.kernel_images(weights)
display = cv.plots.KernelsDisplay.from_kernels(colours, limits)
_ = cv.series.save_figure(
    run,
    display.figure_,
    "04_kernels",
    alt="The kernels of the first layer as small squares of coloured pixels; mid-grey is weight zero.",
)

# %% [markdown]
# If you have seen the first layer of a large network, you'd expect clean edges and colour blobs. Here some filters stand out, most likely, and the others are faint confetti. Why, we shall see below.
#
# What matters on a grey surface is the mean over the three colours. Here it is, on a scale of its own:

# %%
grey = weights.mean(axis=3, keepdims=True).repeat(3, axis=3)
display = cv.plots.KernelsDisplay.from_kernels(*cv.features.kernel_images(grey))
_ = cv.series.save_figure(
    run,
    display.figure_,
    "04_kernels_grey",
    alt="The same kernels, averaged over the colours: small squares of grey pixels; mid-grey is weight zero.",
)

# %% [markdown]
# A filter with a bright and a dark side answers to an edge in that direction, one with a dark stripe to a line, one that is dark all over, or in the middle, to dark things. Look for them among the strong ones; those near mid-grey
# hardly take part. But mind a trap: random numbers contain stripes and edges as well. What a filter *does* can be read off its weights; that it was *learnt* can't.
#
# That a filter is no more than this sum can be checked. We take one place, multiply and add by hand, and compare with the network's own map. (Our network's filters read $4x - 2.2$ of a pixel $x$, see notebook 02; so a light grey counts as zero.)

# %%
picture = cv.data.load_images(searched["path"].head(1), image_size)
convolutions = [name for name, kind in cv.attribution.ladder(model)["kind"].items() if kind == "Conv2D"]
first = convolutions[0]
maps = cv.features.activation_maps(model, picture, first, order=None).maps[0]
row, column = maps.shape[0] // 2, maps.shape[1] // 2
top, left, bottom, right = cv.features.field_box(model, first, (row, column))
bias = model.get_layer(first).get_weights()[1]
reads = keras.Model(model.inputs[0], model.get_layer(first).input)  # what comes before the first convolution
square = np.asarray(reads(picture))[0, top:bottom, left:right]
by_hand = np.maximum((weights * square).sum(axis=(1, 2, 3)) + bias, 0)
print(f"the filters see {bottom - top} x {right - left} px; the first answers", by_hand[:4].round(3))

# %%
claim(
    "T4.1",
    "a first-layer activation is the kernel laid over the pixels, summed, plus the bias, cut off at zero",
    np.abs(by_hand - maps[row, column]).max(),
    "<",
    1e-4,
    identity=True,
)

# %% [markdown]
# Was it learnt, then? The start of a training is known, since the [seed](../THEORY.md#g-seed) decides it. Correlate the [kernels](../THEORY.md#g-kernel) with those that they started from, whole and by their mean over the colours. Beside them stands
# `gap_cnn_deep`, which comes with crackviz. Its first kernels started at the usual size, ten times that of `gap_cnn_far`.


# %%
def stayed(trained, start):
    """Return how far kernels correlate with their start: whole, their mean over the colours, and what differs from it."""
    now, origin = (
        cv.features.kernels(network) for network in (trained, cv.models.build(trained.name, 128, seed=start))
    )
    parts = [(k, k.mean(3), k - k.mean(3, keepdims=True)) for k in (now, origin)]
    return [np.corrcoef(k.ravel(), o.ravel())[0, 1] for k, o in zip(*parts, strict=True)]


started_large = stayed(cv.models.load_pretrained("gap_cnn_deep"), 0)
print("gap_cnn_deep, as shipped: whole r = {:.3f}, grey part {:.3f}, colours {:.3f}".format(*started_large))
own = not (network or net.shipped)
started_small = stayed(model, seed) if own else None
if started_small:
    print(f"{model.name}: whole r = {{:.3f}}, grey part {{:.3f}}, colours {{:.3f}}".format(*started_small))
else:
    print("where this network started from isn't known here: run notebook 02 first")

# %%
claim(
    "T4.2",
    "kernels that started large are nearly the random start; those that started small, if notebook 02 has run, have been learnt",
    min(started_large),
    ">",
    0.9,
    provided=started_small is None or started_small[1] < 0.7,
)

# %% [markdown]
# So whoever reads stripes and edges into the kernels of `gap_cnn_deep` reads its random start. Its later layers learnt to use what the first one happened to offer, and it answers well all the same. A small start leaves the training no choice.
# The third number says how random the *differences* between the colours have stayed, which grey walls never use.
#
# ## Synthesising what a filter wants
#
# A filter of the second layer doesn't read pixels; it reads the maps of the first. Its weights are no picture. But we can ask it: start from noise on
# grey, and change the pixels, step by step, so that the filter answers more strongly. It is the [gradient](../THEORY.md#g-gradient) again, this time by the picture, and upwards: *[activation](../THEORY.md#g-activation) maximisation*.
#
# Left alone, the ascent finds pixel patterns that excite the filter and mean nothing to us. Two penalties keep it in check: one on the differences between neighbours (total variation), one on the
# distance from grey. And the picture is jittered by a pixel or two, so that nothing can hang on an exact position. tf-keras-vis does the climbing.
#
# Which filters? Those with the largest contribution to the logit (notebook 05 says what that is), on some cracked pictures.

# %%
cracked = cv.data.load_images(searched.loc[searched["label"] == 1, "path"].head(16), image_size)
strongest, speaks = {}, {}
for layer in convolutions:
    found = cv.features.activation_maps(model, cracked, layer, order="shared")
    strongest[layer] = found.channels[0, :n_filters]
    speaks[layer] = found.contributions[:, :n_filters].mean(axis=0)  # in logits: above 0 for a crack

# %%
recipe = cv.features.Recipe(steps=steps, seed=seed, size=64)
wanted = {layer: cv.features.maximise(model, channels, layer, recipe=recipe) for layer, channels in strongest.items()}

# %%
pictures = np.concatenate([found.images for found in wanted.values()])
titles = [
    f"convolution {number}, channel {channel}"
    for number, channels in enumerate(strongest.values(), 1)
    for channel in channels
]
display = cv.plots.ImagesDisplay.from_images(pictures, titles=titles, columns=n_filters)
_ = cv.series.save_figure(
    run,
    display.figure_,
    "04_synthesised",
    alt="Synthesised pictures, a row for each convolution and one for each filter: coloured patterns in the middle of grey squares, the larger the deeper the layer.",
)

# %% [markdown]
# One row for each convolution. Everything that a filter can see is in the middle of its picture; around it is the grey of the start, because no pixel there could change anything. So these pictures
# also show how the *[receptive field](../THEORY.md#g-receptive-field)* grows from layer to layer: in the first row it is a speck. Look for strokes and for spots in the lower rows, and be slow to name what you see.
#
# The colours are loud, most likely. No wall looks like this, and that is the first warning: the filter says what *would* excite it most, not what it has ever met. Differences between the colours cost nothing on grey concrete, so
# nobody has taught the network to ignore them.
#
# Does the climbing depend on chance? It does: on the noise that it starts from. With the seed given, chance is repeatable.

# %%
again = cv.features.maximise(model, strongest[first], first, recipe=recipe)

# %%
claim(
    "T4.3",
    "the same seed gives the same synthesised pictures, byte for byte",
    again.images.tobytes() == wanted[first].images.tobytes(),
    identity=True,
)

# %% [markdown]
# ## Looking for what there is
#
# The third way invents nothing. We send the pictures through the network and note, for each filter of the last convolution, where it answered most strongly. Each picture may enter once for each filter. The cell's
# receptive field, cut out, is the patch that the filter saw.

# %%
last = convolutions[-1]
channels = strongest[last]
top = cv.features.top_patches(model, searched, last, channels=channels, count=n_patches)
top.head(n_patches)

# %% [markdown]
# For a fair comparison we synthesise once more, without colour this time, and cut out the field.

# %%
plain = cv.features.maximise(model, channels, last, recipe=replace(recipe, colour=False))
above, before, below, behind = plain.box
whole = cv.data.load_images(searched["path"].iloc[top["index"]], image_size)
patches = cv.features.crops(whole, top)
patches = patches.reshape(len(channels), -1, *patches.shape[1:])

# %%
display = cv.plots.FiltersDisplay.from_examples(
    plain.images[:, above:below, before:behind],
    patches,
    names=[
        f"channel {channel},\n{'for' if said > 0 else 'against'} a crack"
        for channel, said in zip(channels, speaks[last], strict=True)
    ],
    values=top["value"].to_numpy().reshape(len(channels), -1),
    reached=plain.reached,
)
_ = cv.series.save_figure(
    run,
    display.figure_,
    "04_found",
    alt="For each filter of the last convolution a framed synthesised picture, and beside it the patches that excite it most; the number above each is the activation.",
)

# %% [markdown]
# The framed picture is synthesised, the others were found; above each stands how strongly the filter answers, at the side whether it speaks for a crack or against it. Flat grey at the rim of a patch is what lies beyond its picture: there
# the convolution sees padding instead of concrete. What have the patches of a row in common: a line, an edge, a hole, the surface, the border? And does the framed picture show the same?
#
# Compare the numbers in a row. The framed picture had to pay two penalties and do without colour. Without the penalties, and in colour, it should excite the filter more than the patches that were found.

# %%
unbound = replace(recipe, smoothness=0, greyness=0, jitter=0)
free = cv.features.maximise(model, channels, last, recipe=unbound)
best = top.groupby("channel")["value"].max().loc[channels].to_numpy()
print("synthesised, freely", free.reached.round(1))
print("as drawn above     ", plain.reached.round(1))
print("best patch found   ", best.round(1))

# %%
claim(
    "T4.4",
    "without penalties, synthesised pictures excite their filters more than the start did and, on average, over a fifth more than the best patch found",
    free.reached.mean() / best.mean(),
    ">",
    1.2,
    provided=(free.reached > free.started).all(),
)

# %% [markdown]
# Now turn it round. Suppose you had seen the left column only. Would you have said "wide dark cracks", "thin ones", "plain surface"? The found patches say what the filter answers to among real pictures; the synthesised ones say what it would answer to most, real or not. Neither alone is safe: patches show
# what *goes along* with the excitation (which of all that is in them was it?), the synthesised picture shows what *causes* it (but does it ever occur?).
#
# ## What the class wants
#
# The same can be asked of the logit: which picture does the network find most like a crack? And which one least? We maximise the logit. The probability would be 1 soon after the start, and have no slope any more.

# %%
recipe = replace(recipe, size=None)  # the network's own
crack = cv.features.maximise_logit(model, "crack", recipe=recipe)
no_crack = cv.features.maximise_logit(model, "no_crack", recipe=recipe)
other = cv.features.maximise_logit(model, "crack", recipe=replace(recipe, seed=seed + 1))

# %%
shown = np.concatenate([crack.images, other.images, no_crack.images])
values = cv.attribution.logits(model, shown)
names = ["most like a crack", "again, another start", "least like a crack"]
titles = [f"{name}\nlogit {value:+.0f}" for name, value in zip(names, values, strict=True)]
display = cv.plots.ImagesDisplay.from_images(shown, titles=titles)
_ = cv.series.save_figure(
    run,
    display.figure_,
    "04_classes",
    alt="Three synthesised pictures: two that the network finds most like a crack, from different starts, and one that it finds least like a crack. Their logits stand above.",
)

# %%
unseen = fair.sample(frac=1, random_state=seed).head(400)
real = cv.attribution.logits(model, cv.data.load_images(unseen["path"], image_size))
print(f"logits of {len(real)} pictures of the test part: {real.min():+.1f} to {real.max():+.1f}")

# %%
recipe = replace(recipe, smoothness=0, greyness=0, jitter=0)  # again without the penalties, which hold a climb back
freely = [cv.features.maximise_logit(model, "crack", recipe=replace(recipe, seed=seed + n)) for n in (0, 1)]
print("without penalties, from two starts:", *(f"{one.reached[0]:+.0f}" for one in freely))

# %%
claim(
    "T4.5",
    "without penalties, a synthesised picture has over twice the logit of every picture of the test part",
    min(one.reached[0] for one in freely) / max(real.max(), 1),
    ">",
    2,
)

# %%
claim(
    "T4.6",
    "there is no one picture of a class: from another start comes another one, by over a tenth of the grey scale",
    np.abs(freely[0].images - freely[1].images).mean(),
    ">",
    0.1,
)

# %% [markdown]
# Look first at what the two pictures of "crack" are made of, and where it lies. Dark lines all over the place mean that a crack is a *texture* to the network: it averages its last maps, so two lines are twice the evidence, wherever they lie. A person's most typical crack would be one line, from
# border to border. (If lines crowd along the border instead, you see *padding* at work: beyond the border the convolutions meet zeros, and filters that see the edge of the picture can be driven further there than anywhere on concrete.) Then look at what is least like a crack. If it is dark spots, the network
# knows pores, and books them as a sign of sound concrete. Such facts about the network no heat map of one decision would have shown.
#
# ## What a synthesised picture doesn't mean
#
# - **Not what the network has seen.** It lies far from all concrete. What the network does there was never trained.
# - **Not one answer.** Another seed, another penalty, another picture. What they have in common is the message.
# - **Not a part of the decision.** A filter may be excited by the picture and still have next to no say. Notebook 05 counts the say.
# - **Not a test.** Pretty pictures don't make a good network, and confetti doesn't make a bad one.
#
# ## To remember
#
# - A first-layer filter is a small square of weights and answers to what looks like it; a deeper one has to be asked.
# - A filter that looks like noise may just be its random start.
# - What a filter wants most, as synthesised, needs not occur on any wall.
# - The patches that a filter answers to most strongly show what it meets in practice.
# - A picture that makes the network sure of a crack needs no crack in it.
#
# **Two questions**
#
# <details><summary>A filter's weights sum to 0. What does it answer to a plain grey wall?</summary>
#
# With its bias alone, away from the borders: positive and negative parts cancel.
#
# </details>
#
# <details><summary>Why look at found patches beside synthesised ones?</summary>
#
# The synthesised ones show what is possible, the found ones what happens.
#
# </details>
#
# ## Exercises
#
# ★ is read off, ★★ takes a line or two, ★★★ is written. Put your answer in place of the dots and run the cell: it tells you whether it is right, or what is wrong with it.
#
# **04.1** ★ Take `layer=convolutions[1]` for the found patches, and they are small. What decides how large a found patch is: `"the kernel"`, `"the stride"`, `"the receptive field"` or `"the picture"`?

# %% tags=["exercise"]
answer = ...
cv.series.exercise("04.1", answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# A patch is the receptive field of one cell, and early layers see a few pixels only.
#
# ```python
# answer = "the receptive field"
# ```
#
# </details>
#
# **04.2** ★★ The climb begins with noise on grey. Which logit has plain grey, 0.5 in every pixel and colour? Give an array of one logit.

# %% tags=["exercise"]
answer = ...
cv.series.exercise("04.2", answer, of=(model, np.full((1, image_size, image_size, 3), 0.5, np.float32)))

# %% [markdown]
# <details><summary>Solution</summary>
#
# Compare it with the logits of the synthesised pictures: that is how far the climb led.
#
# ```python
# answer = cv.attribution.logits(model, np.full((1, image_size, image_size, 3), 0.5, np.float32))
# ```
#
# </details>
#
# **04.3** ★★★ Write `def answer(kernel, pixels, bias):`, the answer of one filter at one place. `kernel` and `pixels` have shape (3, 3, 3), `bias` has shape (1,); return an array of shape (1,), after ReLU.

# %% tags=["exercise"]
answer = ...
cv.series.exercise("04.3", answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# Multiply, sum, add the bias, cut off what is negative.
#
# ```python
# def answer(kernel, pixels, bias):
#     return np.maximum((kernel * pixels).sum() + bias, 0)
# ```
#
# </details>
#
# **To go on**, without a check:
#
# 1. Draw `free.images` beside `wanted[last].images`. What had the penalties been good for?
# 2. Start `cv.features.maximise_logit(model, "crack", start=…)` from a sound patch, for ten steps. How much has to change until the network says "crack"? Is there a crack now?
#
# <details><summary>Solutions</summary>
#
# 1: without them single pixels flicker, and the noise of the start stays; the strokes are harder to see, though the filter likes it better. 2: very little, and there is none. The network can be pushed over by changes that mean nothing to us; such pictures are called *adversarial*.
#
# </details>

# %%
cv.series.write_results(
    run,
    "04_filters",
    {
        "model": net.origin,
        "pictures searched": len(searched),
        "layer": last,
        "channels": [int(channel) for channel in channels],
        "strongest, synthesised": [float(value) for value in free.reached],
        "strongest, found": [float(value) for value in best],
        "logit, synthesised crack": float(crack.reached[0]),
        "largest logit, found": float(real.max()),
    },
)
