# %% [markdown]
# # 11 · Taught where to look
#
# All networks so far learnt from labels alone: crack, or no crack. Where a crack lies they had to find out by themselves. Synthetic concrete comes with masks that nobody had to draw, since
# the renderer knows where it put its cracks. Here they enter the training. What is a mask worth? And does the map of such a network still tell *why* it answers, or only what it was told to draw?
#
# | | |
# |---|---|
# | **You will learn** | a loss on the place of the evidence; what no, a hundred or all masks change; whether a taught map still follows the network; whether it resists a shortcut |
# | **Time** | 40 minutes to read, about four minutes to run |
# | **Theory** | [T11 Taught where to look](../THEORY.md#t11-taught-where-to-look) |
# | **Before** | [08 Do the maps hold?](08_do_the_maps_hold.ipynb), [09 Shortcuts](09_shortcuts.ipynb), [10 Transfer learning](10_transfer_learning.ipynb) |

# %% tags=["parameters"]
data: str = ""  # folder with pictures, on which the shipped networks are compared; "" is synthetic concrete
crack_class: str = ""  # the folder whose pictures show cracks, where its name doesn't say so
groups: str = ""  # which pictures show one place: "folder:1", a pattern, a CSV file; "" goes by file names
run: str = ""  # run folder, where results are kept; "" is runs/lesson
max_images: int = 4000  # pictures used, drawn by whole groups; 0 takes all
n_images: int = 60  # pictures of either class on which the shipped networks are compared
n_patches: int = 400  # rendered patches that the small networks learn from
epochs: int = 6  # passes over these
seed: int = 0  # fixes every random choice

# %%
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import crackviz as cv
from crackviz.claims import claim
from crackviz.contracts import check_number

explain, faith = cv.attribution, cv.faithfulness
run = cv.series.open_run(run, "11_taught_where_to_look")
for name, value in {"n_images": n_images, "n_patches": n_patches, "epochs": epochs}.items():
    check_number(name, value, 1, whole=True)
table = cv.data.prepare(
    data, run / "split.csv", max_images=max_images, seed=seed, crack_class=crack_class, groups=groups
)

# %% [markdown]
# ## Three educations
#
# Three of the networks that come with this package have learnt in different ways. `local_cnn` learnt from labels alone, but evidence can lie only on dark pixels: that is built in. `trace_cnn` learnt from labels *and* from the places of drawn cracks. `mobilenet_v2` learnt from a million photographs of other
# things first. We ask all three about the same pictures, none of which any of them has seen.

# %%
names = {
    "local_cnn": "labels alone, dark pixels only",
    "trace_cnn": "labels and drawn masks",
    "mobilenet_v2": "ImageNet, then labels",
}
nets = {name: cv.models.find(run, network=name) for name in names}
fair = table[table["split"] == "test"]
for net in nets.values():
    fair = cv.training.unseen(net, fair)
asked = fair.sample(frac=1, random_state=seed).groupby("label").head(n_images)
cracked = asked[asked["label"] == 1]
masks_known = bool((cracked["mask"] != "").all())
print(
    f"{len(asked)} pictures, {len(cracked)} of them cracked; "
    + ("masks are known" if masks_known else "no masks: their maps can be looked at, not scored")
)

# %%
size = 128
images = cv.data.load_images(asked["path"], size)
is_crack = (asked["label"] == 1).to_numpy()
truth = cv.data.load_masks(cracked["mask"], size) if masks_known else None
models, maps, rows, answers = {}, {}, {}, {}
for name, education in names.items():
    model = nets[name].load()
    models[name] = model if cv.models.image_size(model) == size else cv.models.resized(model, size)
    maps[name] = explain.grad_cam(models[name], images[is_crack])
    threshold = cv.models.metadata(models[name]).threshold
    answers[name] = cv.evaluation.predict(models[name], asked, size) >= threshold
    rows[name] = {"education": education, "right about": np.mean(answers[name] == is_crack)}
    if masks_known:
        rows[name] |= {
            "highest point on the crack": np.nanmean(faith.pointing_game(maps[name], truth)),
            "evidence within 4 px": np.nanmean(faith.evidence_near(maps[name], truth, distance=4)),
        }
agreed = np.mean([len(set(same)) == 1 for same in zip(*answers.values(), strict=True)])
print(f"all three give the same answer on {agreed:.0%} of the pictures")
pd.DataFrame(rows).T

# %%
shown = np.linspace(0, is_crack.sum() - 1, 3).astype(int)
display = cv.plots.AttributionGridDisplay.from_maps(
    images[is_crack][shown],
    {name: maps[name][shown] for name in names},
    masks=None if truth is None else truth[shown],
    label=dict.fromkeys(names, "logits per cell"),
    scale="image",
)
_ = cv.series.save_figure(
    run,
    display.figure_,
    "11_educations",
    alt="Cracked patches and the maps of three networks, local_cnn, trace_cnn and mobilenet_v2, each on a scale of its own.",
)

# %% [markdown]
# These three patches are spread evenly over the random order in which they were drawn. Three networks, three maps, and each adds up to its network's answer. How often the answers are the same, the line above says. Compare the places: each map has a scale of its own, in logits per cell, which is written above it.
#
# ## A loss on the place
#
# How can a network be told where to look? Its map must be a number that a mask can be compared with. `trace_cnn` has a last map with one cell a pixel, and each cell passes through a sigmoid, so it lies between 0 and 1, like a mask. Their average, times
# a weight, plus a bias, is the logit: the map adds up, as ever.
#
# The loss has three parts: the [cross-entropy](../THEORY.md#g-cross-entropy) of the answer, as always; the cross-entropy of each cell against the mask; and the *Dice loss*, one less the overlap of map and mask. Here are the last two by hand, for a picture of two by two pixels:

# %%
evidence = np.array([[0.5, 0.25], [0.25, 0.25]])
mask = np.array([[1, 0], [0, 0]])
per_pixel = -(1.2 * mask * np.log(evidence) + (1 - mask) * np.log(1 - evidence))
overlap = (2 * (mask * evidence).sum() + 5) / (mask.sum() + evidence.sum() + 5)
by_hand = 10 * per_pixel.mean() + 0.5 * (1 - overlap)
print(f"cross-entropy of the pixels {per_pixel.mean():.3f}, Dice loss {1 - overlap:.3f}, together {by_hand:.3f}")

# %%
library = cv.training.place_loss(
    evidence[None, ..., None].astype("float32"), mask[None, ..., None].astype("float32"), np.ones(1, "float32")
)
claim(
    "T11.1",
    "the loss on the place is the pixels' cross-entropy and the overlap",
    abs(float(library) - by_hand),
    "<",
    1e-4,
    identity=True,
)

# %% [markdown]
# A pixel of the crack counts a little more (1.2), and 5 is added above and below the fraction, so that a crack of three pixels doesn't decide all. A sound picture has an empty mask: wherever its map isn't zero, it is
# told so. A cracked photograph whose mask nobody drew has none; for it only the answer counts.
#
# ## Labels alone, labels and masks
#
# Now teach the same small network twice, on the same pictures with the same labels. Only one of the two is shown masks. Few pictures must do, and few passes, so batch normalisation helps, as in notebook 02; afterwards it is folded into the kernels.

# %%
settings = cv.synthetic.Settings(patches=n_patches, image_size=64, crack_width=(1.5, 7.0), seed=seed + 6)
recipe = cv.training.Recipe(
    epochs=epochs,
    patience=epochs,
    batch_size=16,
    learning_rate=6e-3,
    decay=0.75,
    augment={"rotation": 0, "zoom": 0},
    normalise=True,
)


def gather(settings):
    """Return the table of a synthetic set, with its split by photographs."""
    return cv.data.split(cv.data.index(cv.synthetic.dataset(settings)), seed=seed)


def teach(table, name, masks):
    """Return a network taught the labels of a table, and the places of the first `masks` cracks in it."""
    cracks = table.index[(table["label"] == 1) & (table["split"] != "test")]
    seen = table.assign(mask=table["mask"].where(~table.index.isin(cracks[masks:]), ""))
    model = cv.models.build("trace_cnn", 64, seed=seed)
    changed = replace(recipe, place=1.0 if masks else 0.0)
    cv.training.train(model, seen, run / f"11_{name}", changed, image_size=64, seed=seed)
    return model


drawn = gather(settings)
every = int(((drawn["label"] == 1) & (drawn["split"] != "test")).sum())
counts = [0, 100, every]
taught = {count: teach(drawn, f"{count}_masks", count) for count in counts}

# %%
test = drawn[drawn["split"] == "test"]
of_crack = (test["label"] == 1).to_numpy()
pictures = cv.data.load_images(test["path"], 64)
known = cv.data.load_masks(test["mask"][of_crack], 64)
walls_of_cracks = test["group"][of_crack]


def looks(model):
    """Return the share of the evidence within 4 px of the crack, picture by picture."""
    return faith.evidence_near(explain.grad_cam(model, pictures[of_crack]), known, distance=4)


near = {count: looks(model) for count, model in taught.items()}
right = {count: (explain.logits(model, pictures).ravel() > 0) == of_crack for count, model in taught.items()}
result = pd.DataFrame(
    {
        "evidence within 4 px": {c: np.nanmean(v) for c, v in near.items()},
        "right about": {c: v.mean() for c, v in right.items()},
    }
)
result.rename_axis("masks").round(3)

# %%
few = np.linspace(0, of_crack.sum() - 1, 4).astype(int)
display = cv.plots.AttributionGridDisplay.from_maps(
    pictures[of_crack][few],
    {f"{count} masks": explain.grad_cam(taught[count], pictures[of_crack][few]) for count in (0, every)},
    masks=known[few],
    label={f"{count} masks": "logits per pixel" for count in (0, every)},
    scale="image",
)
_ = cv.series.save_figure(
    run,
    display.figure_,
    "11_twins",
    alt="Cracked patches and two maps of each: of the network that was taught labels alone, and of its twin that was shown all masks.",
)


# %%
def mean_of(values, groups):
    """Return a mean with its interval, from drawing whole photographs anew."""
    values, drawn = np.asarray(values, float), cv.evaluation.Bootstrap(groups, seed=seed)
    weights = drawn.weights(len(values)) * ~np.isnan(values)
    return drawn.interval((weights * np.nan_to_num(values)).sum(1) / weights.sum(1))


gain = mean_of(near[every] - near[0], walls_of_cracks)
print("more evidence near the crack: {value:.2f}, interval {low:.2f} to {high:.2f}".format(**gain))

# %%
claim(
    "T11.2",
    "taught on masks, more of the evidence lies near the crack",
    gain["value"],
    ">",
    0,
    provided=gain["low"] > 0,
)

# %% [markdown]
# What does it cost? The test part has few pictures, and a few answers more or less are chance. So we draw three hundred patches of other walls, and ask both networks about these.

# %%
habit = replace(settings, shortcut="scale_bar", shortcut_correlation=0.9)  # what is planted here is needed further down
walls = replace(habit, seed=seed + 1000)
marked, plain = ([cv.synthetic.patch(n, walls, planted=planted) for n in range(300)] for planted in (True, False))
with_mark, without = (np.stack([one.image for one in many]).astype(np.float32) / 255 for many in (marked, plain))
shows_crack = np.array([one.label == 1 for one in marked])
photos = np.array([one.photo for one in marked])

# %%
right_now = {n: (explain.logits(taught[n], without).ravel() > 0) == shows_crack for n in (0, every)}
worse = mean_of(right_now[0].astype(float) - right_now[every], photos)
print("answers lost by it: {value:.3f}, interval {low:.3f} to {high:.3f}".format(**worse))

# %%
claim("T11.3", "it costs fewer than ten answers in a hundred", worse["value"], "<", 0.1)

# %%
errors = {
    count: np.abs(explain.completeness_error(model, pictures, explain.grad_cam(model, pictures, upsample=False))).max()
    for count, model in taught.items()
}
claim("T11.4", "the taught map adds up as exactly as the other", max(errors.values()), "<", 1e-3, identity=True)

# %% [markdown]
# ## What is a mask worth?
#
# Drawing a mask of a real crack takes minutes, a label a second. So it matters how many are needed. All these networks saw the same pictures and the same labels:

# %%
intervals = pd.DataFrame({count: mean_of(values, walls_of_cracks) for count, values in near.items()}).T
figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
spans = (intervals["value"] - intervals["low"], intervals["high"] - intervals["value"])
axes.errorbar(intervals.index, intervals["value"], spans, marker="o", capsize=4, color="#0173b2")
axes.axhline(
    faith.chance_levels(known)["evidence_4px"], color="#555555", linestyle=":", label="a map that says nothing"
)
axes.set(xlabel="pictures with a mask", ylabel="evidence within 4 px", ylim=(0, 1))
axes.set_xticks(counts, [str(count) for count in counts])
axes.xaxis.label.set_size(13)
axes.yaxis.label.set_size(13)
axes.tick_params(labelsize=12)
axes.legend(frameon=False, fontsize=12)
_ = cv.series.save_figure(
    run,
    figure,
    "11_worth",
    alt="The share of evidence within 4 px of the crack against the number of pictures with a mask, with intervals; a dotted line is a map that says nothing.",
)

# %%
some = mean_of(near[100] - near[0], walls_of_cracks)
print("a hundred masks bring {value:.2f}, interval {low:.2f} to {high:.2f}; all bring ".format(**some), end="")
print(f"{gain['value']:.2f}, so a hundred of {every} bring {some['value'] / gain['value']:.0%} of it")

# %% [markdown]
# That is one training on few pictures. From another seed a hundred masks may bring nearly all, or little. `benchmarks/masks.py` asks the same of thousands of pictures. And `trace_cnn`, at the start of this notebook, saw thousands of masks. Hold it against `local_cnn`, which saw none. (The two differ in their layers and pictures, too, so this isn't the worth of the masks alone; `benchmarks/masks.py` changes nothing but the masks.)

# %%
ahead = np.nan
if masks_known:
    ahead = rows["trace_cnn"]["evidence within 4 px"] - rows["local_cnn"]["evidence within 4 px"]
claim(
    "T11.5",
    "trace_cnn, taught on masks, has more of its evidence near the crack than local_cnn, taught on labels alone",
    ahead,
    ">",
    0,
    unless="" if masks_known else "nobody drew masks for these pictures",
)

# %% [markdown]
# ## Does a taught map still tell why?
#
# One may suspect that such a network answers by something else and draws the map on the side, as it was told. It can't, quite: the map *is* what is averaged into the answer. But it might be drawn by layers that have learnt little. So the test of notebook 08:
# draw the upper half of the weights anew. A map that follows the network changes.

# %%
eight = pictures[of_crack][:8]
tests = {}
for count in (0, every):
    test_of = faith.randomisation_test(
        taught[count], eight, {"grad_cam": explain.METHODS["grad_cam"]}, draws=3, seed=seed
    )
    tests[f"{count} masks"] = faith.verdict(test_of).loc["grad_cam"]
pd.DataFrame(tests).T

# %%
claim(
    "T11.6", "with the upper half of its weights fresh, the taught map changes", bool(tests[f"{every} masks"]["passes"])
)

# %% [markdown]
# ## Does it resist a shortcut?
#
# In notebook 09 a scale bar lay beside nearly every crack, and the network read the bar. A mask says: not there. Here are such pictures again, for two networks: one is taught labels alone, one is also shown where the cracks lie.

# %%
trap = gather(habit)
pair = {
    name: teach(trap, f"habit_{count}_masks", count)
    for name, count in {"labels alone": 0, "labels and masks": 10**6}.items()
}

# %%
nothing = np.zeros((64, 64), bool)
crack_masks, marks = (
    np.stack([one.mask for one in marked]),
    np.stack([one.distractors.get("scale_bar", nothing) for one in marked]),
)

# %%
found = {}
for name, model in pair.items():
    these = shows_crack & marks.any((1, 2))
    share = faith.shortcut_share(
        explain.grad_cam(model, with_mark[these]),
        crack_masks[these],
        marks[these],
        bootstrap=cv.evaluation.Bootstrap(photos[these], seed=seed),
    )
    answers = {
        kind: (explain.logits(model, these_pictures).ravel() > 0) == shows_crack
        for kind, these_pictures in {"with the bar": with_mark, "without": without}.items()
    }
    found[name] = {
        "evidence on the bar": share["pooled"]["value"],
        "at most": share["pooled"]["high"],
        "even map": share["chance"],
        "right without the bar": answers["without"].mean(),
        "answers": answers["without"],
    }
pd.DataFrame(found).T.drop(columns="answers")

# %%
share = found["labels and masks"]
claim(
    "T11.7",
    "taught on masks as well, less of the evidence lies on the mark than when taught on labels alone",
    share["evidence on the bar"],
    "<",
    found["labels alone"]["evidence on the bar"],
    provided=share["at most"] < found["labels alone"]["evidence on the bar"],
)

# %%
better = mean_of(found["labels and masks"]["answers"].astype(float) - found["labels alone"]["answers"], photos)
print("more answers right without the bar: {value:.3f}, interval {low:.3f} to {high:.3f}".format(**better))

# %%
claim("T11.8", "on pictures without the mark it is right more often", better["value"], ">", 0)

# %% [markdown]
# A mask is another word for "look here". Hold this gain against the answers lost or won on pictures without a habit, above: here the labels mislead, and there they don't.
#
# ## To remember
#
# - A map that is bounded like a mask can be taught like one, and still adds up to the logit.
# - Labels alone say *whether*; the place they leave open, and a network fills it as it likes.
# - Masks of drawn cracks cost nothing, and what they teach can be asked of real pictures.
# - A network that was taught where to look must pass the same tests as every other.
# - A mask says what isn't the crack, too. That is why it helps against shortcuts.
#
# **Two questions**
#
# <details><summary>A network was taught where to look, and its map lies on the crack. What does that prove?</summary>
#
# Less than for one that was never told. On pictures of other origin it proves that the lesson carries over.
#
# </details>
#
# <details><summary>A photograph shows a crack, and nobody drew its mask. What can be learnt from it?</summary>
#
# Its answer. The loss on the place leaves it out.
#
# </details>
#
# ## Exercises
#
# ★ is read off, ★★ takes a line or two, ★★★ is written. Put your answer in place of the dots and run the cell: it tells you whether it is right, or what is wrong with it.
#
# **11.1** ★ The loss has three parts: `"the answer"`, `"the cells"` and `"the overlap"`. Which of them count for a cracked photograph whose mask nobody drew? Give a set.

# %% tags=["exercise"]
answer = ...
cv.series.exercise("11.1", answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# Only the cross-entropy of the answer. A sound picture has a mask: an empty one.
#
# ```python
# answer = {"the answer"}
# ```
#
# </details>
#
# **11.2** ★★ Compute the Dice loss of the picture of two by two pixels above for another map, one that is 0.5 in every cell.

# %% tags=["exercise"]
answer = ...
cv.series.exercise("11.2", answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# The overlap is $(2 \cdot 0.5 + 5) / (1 + 2 + 5) = 0.75$.
#
# ```python
# flat = np.full((2, 2), 0.5)
# answer = 1 - (2 * (mask * flat).sum() + 5) / (mask.sum() + flat.sum() + 5)
# ```
#
# </details>
#
# **11.3** ★★★ Write `def answer(evidence, mask):` that returns the cross-entropy of the cells: the mean of $-(m \ln e + (1 - m) \ln(1 - e))$ over them. Without the 1.2 here.

# %% tags=["exercise"]
answer = ...
cv.series.exercise("11.3", answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# The same formula as for the answer, cell by cell.
#
# ```python
# def answer(evidence, mask):
#     return -(mask * np.log(evidence) + (1 - mask) * np.log(1 - evidence)).mean()
# ```
#
# </details>
#
# **To go on**, without a check:
#
# 1. Read from the figure: how many masks bring the evidence above one half?
# 2. Set `place=10` in `teach`. What happens to the answers, what to the map?
# 3. Give half of the cracked pictures a wrong mask, mirrored left to right. Where does the evidence go?
#
# <details><summary>Solutions</summary>
#
# 1: the first point above 0.5 in the figure. 2: the map gets sharper at first, while the answers gain less, since their loss is drowned by the other. 3: it spreads over both places or fades: the network can't know which half of the teacher's words to believe, and what is right for both is little evidence everywhere.
#
# </details>

# %%
cv.series.write_results(
    run,
    "11_taught_where_to_look",
    {
        "evidence within 4 px": intervals["value"].to_dict(),
        "evidence on the mark": {name: one["evidence on the bar"] for name, one in found.items()},
    },
)
