# %% [markdown]
# # 09 · Shortcuts
#
# A network learns whatever tells the classes apart in *your* pictures. If a scale bar does, it learns the scale bar, and the test set, made by the same people, praises it for that. Here we
# plant such a habit on purpose, watch the accuracy lie and the maps tell, prove it by taking the mark away, and cure it. Then we catch a second way of fooling oneself: a test that has been seen before.
#
# | | |
# |---|---|
# | **You will learn** | to find a shortcut in the maps, to put a number on it, to prove it with changed pictures, to cure it; what a random split hides |
# | **Time** | 30 minutes to read, two to three minutes to run |
# | **Theory** | [T9 Shortcuts](../THEORY.md#t9-shortcuts) |
# | **Before** | [07 Attribution methods](07_attribution_methods.ipynb) |
#
# The first half needs the same wall with and without a mark, which no camera can give: it always runs on synthetic concrete. The second half measures your own pictures as well, if you name some.

# %% tags=["parameters"]
data: str = ""  # folder with pictures; "" is synthetic concrete, made here
crack_class: str = ""  # the folder whose pictures show cracks, where its name doesn't say so
groups: str = ""  # which pictures show one place: "folder:1", a pattern, a CSV file; "" goes by file names
run: str = ""  # run folder, where results are kept; "" is runs/lesson
image_size: int = 64  # side to which pictures are resized [px]; 128 takes four times as long
max_images: int = 4000  # pictures of the run, drawn by whole groups; 0 takes all
n_own: int = 600  # of these, so many for the comparison at the end; 0 takes all, and with thousands it takes minutes
shortcut: str = "scale_bar"  # what is planted beside cracks: scale_bar, chalk_line or date_stamp
patches: int = 1000  # synthetic pictures in each set
n_pairs: int = 120  # pictures of other walls, each shown with and without the mark
epochs: int = 6  # passes over the training pictures
seed: int = 0  # fixes every random choice

# %%
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.special import expit

import crackviz as cv
from crackviz.claims import claim
from crackviz.contracts import check_choice, check_number

run = cv.series.open_run(run, "09_shortcuts")
for name, value in {"patches": patches, "n_pairs": n_pairs, "epochs": epochs}.items():
    check_number(name, value, 1, whole=True)
for name, value in {"max_images": max_images, "n_own": n_own}.items():
    check_number(name, value or 6, 6, whole=True)  # 0 takes all
explain = cv.attribution
if data:  # it is needed in the second half only: a mistake in its name should show now
    cv.data.index(data, crack_class=crack_class, groups=groups)
check_choice("shortcut", shortcut, ("scale_bar", "chalk_line", "date_stamp"))  # a mark with a place in the picture

# %% [markdown]
# ## A photographer with a habit
#
# Whoever documents damage puts a scale bar beside the crack before taking the picture. Nobody puts one beside a sound wall. So in the set that
# is collected over the years, 95 % of the cracked pictures carry a bar, and 5 % of the sound ones, by chance.

# %%
habit = cv.synthetic.Settings(
    patches=patches,
    image_size=image_size,
    patches_per_photo=4,
    crack_width=(1.8, image_size / 10),
    contrast=0.65,
    shortcut=shortcut,
    shortcut_correlation=0.9,  # 95 % and 5 %
    seed=seed,
)
mark = {"chalk_line": "chalk_mark"}.get(shortcut, shortcut)  # its name among the distractors
mark_name = shortcut.replace("_", " ")


def gather(settings):
    """Return the table of a synthetic set, with its split by photographs."""
    return cv.data.split(cv.data.index(cv.synthetic.dataset(settings)), seed=seed)


table = gather(habit)
carries = table["distractors"].str.split().map(lambda names: mark in names)
carries.groupby(table["label"].map({0: "sound", 1: "cracked"})).mean().rename(f"share with a {mark_name}").to_frame()

# %%
some = table.groupby("label").head(5).sort_values("label", ascending=False)
display = cv.plots.ImagesDisplay.from_images(
    cv.data.load_images(some["path"], image_size),
    titles=["cracked" if label else "sound" for label in some["label"]],
    columns=5,
)
_ = cv.series.save_figure(
    run,
    display.figure_,
    "09_habit",
    alt="Patches with the planted habit: cracked ones in the upper row, sound ones in the lower row.",
)

# %% [markdown]
# These are the first five of either kind. Would you have noticed? In a set of thousands, sorted into two folders, few people look.
#
# We train `gap_cnn_deep` on it, for a fixed number of passes and without [augmentation](../THEORY.md#g-augmentation), which would turn the bars about. Batch normalisation helps it, as in notebook 02, and is folded away afterwards.

# %%
recipe = cv.training.Recipe(
    epochs=epochs,
    patience=epochs,
    batch_size=16,
    learning_rate=0.005,
    decay=0.75,
    augment=False,
    normalise=True,
)


def taught(table, name, **changes):
    """Return a network trained on a table with a split, by the recipe or with changes to it."""
    model = cv.models.build("gap_cnn_deep", image_size, seed=seed)
    changed = replace(recipe, **changes)
    cv.training.train(model, table, run / f"09_{name}", changed, image_size=image_size, seed=seed)
    return model


shrewd = taught(table, "habit")

# %% [markdown]
# ## First, the accuracy
#
# Photographs in the test part were never seen in training. The split is clean.

# %%
test = table[table["split"] == "test"]


def accuracy(labels, probabilities, groups):
    """Return the accuracy with its interval, from drawing whole photographs."""
    result = cv.evaluation.evaluate(labels, probabilities, bootstrap=cv.evaluation.Bootstrap(groups, seed=seed))
    return cv.evaluation.report(result).loc["accuracy"].to_dict()


with_habit = accuracy(test["label"], cv.evaluation.predict(shrewd, test, image_size), test["group"])
print("accuracy {value:.3f}, interval {low:.3f} to {high:.3f}".format(**with_habit))

# %% [markdown]
# One could stop here, and most reports do: trained, tested on new photographs, a figure with an honest interval. The interval is honest, too. It says
# what to expect of *more pictures like these*, bars and all.
#
# ## The maps tell
#
# Take other walls, photographed with a bar, and ask where the evidence for "crack" comes from. The outlines run around what the network can't know: where crack and bar really are. The maps are widened by a pixel so that they are seen.

# %%
walls = replace(habit, seed=seed + 1000)
marked, plain = ([cv.synthetic.patch(n, walls, planted=planted) for n in range(n_pairs)] for planted in (True, False))
pictures, unmarked = (np.stack([p.image for p in many]).astype(np.float32) / 255 for many in (marked, plain))
cracked = np.array([p.label == 1 for p in marked])
photos = np.array([p.photo for p in marked])
cracks = np.stack([p.mask for p in marked])

# %%
nothing = np.zeros_like(cracks[0])
marks = np.stack([p.distractors.get(mark, nothing) for p in marked])
shown = np.flatnonzero(cracked)[:5]


# %%
def draw_maps(model, name):
    """Draw thin CAM on some cracked pictures with a mark, and keep the figure."""
    display = cv.plots.AttributionDisplay.from_maps(
        pictures[shown],
        explain.thin_cam(model, pictures[shown]),
        masks=(cracks | marks)[shown],
        logits=explain.logits(model, pictures[shown]),
        label="logits per pixel",
        widen=1,
        percentile=99,
    )
    _ = cv.series.save_figure(
        run,
        display.figure_,
        name,
        alt="Cracked patches with a mark, and below each its thin CAM map in logits per pixel; lines run around crack and mark.",
    )


draw_maps(shrewd, "09_maps_habit")

# %% [markdown]
# Red is what speaks for a crack. Does it sit on the crack, or on the bar?
#
# Five pictures are an impression. The **shortcut share** is the figure: of the positive evidence on the mark or on the crack (within 2 px), how much is on the mark? Beside it stands the share of a map that knows
# nothing and is the same everywhere; it isn't one half, because bar and crack have different areas.


# %%
def share_of(model, method="thin_cam"):
    """Return the shortcut share of a method's maps, on cracked pictures with a mark."""
    maps = explain.METHODS[method](model, pictures[cracked])
    drawn = cv.evaluation.Bootstrap(photos[cracked], seed=seed)
    return cv.faithfulness.shortcut_share(maps, cracks[cracked], marks[cracked], bootstrap=drawn)


methods = ("thin_cam", "grad_cam", "integrated_gradients")
shares = {method: share_of(shrewd, method) for method in methods}
pd.DataFrame({explain.METHODS[m].title: {**s["pooled"], "even map": s["chance"]} for m, s in shares.items()}).T.round(2)

# %% [markdown]
# Each share stands beside that of an even map. Grad-CAM's cells are so wide that bar and crack share some of them: compare its row with those of the finer methods.
#
# ## The proof
#
# A map is a statement about the network. This is an experiment: the same wall, the same light, the same crack, rendered once with the bar and once without. Whatever
# changes, the bar has done.

# %%
both = [(pictures[n], unmarked[n]) for n in (shown[0], np.flatnonzero(~cracked)[0])]
answers = [explain.logits(shrewd, np.stack(pair)) for pair in both]
display = cv.plots.ImagesDisplay.from_images(
    [picture for pair in both for picture in pair],
    titles=[
        f"{how} the {mark_name}\nlogit {value:+.1f}"
        for pair in answers
        for how, value in zip(("with", "without"), pair, strict=True)
    ],
    columns=4,
)
_ = cv.series.save_figure(
    run,
    display.figure_,
    "09_pair",
    alt="Two walls, each with the mark and without it; the logit stands above each.",
)


# %%
def experiment(model):
    """Return what the mark does: on cracked walls, from which it is taken, and on sound ones, to which it is added."""
    found = {}
    for kind, these in (("cracked walls", cracked), ("sound walls", ~cracked)):
        drawn = cv.evaluation.Bootstrap(photos[these], seed=seed)
        found[kind] = cv.faithfulness.counterfactual(model, pictures[these], unmarked[these], bootstrap=drawn)
    return found


def draw_pairs(found, name):
    """Draw the answers to all pairs, and keep the figure."""
    pairs = {kind: (one["logits_without"], one["logits_with"]) for kind, one in found.items()}
    display = cv.plots.PairsDisplay.from_logits(pairs)
    _ = cv.series.save_figure(
        run,
        display.figure_,
        name,
        alt="A line for each wall, from its logit without the mark to its logit with it, for cracked walls on the left and sound ones on the right; lines that change the answer are coloured.",
    )


before = experiment(shrewd)
draw_pairs(before, "09_pairs_habit")

# %% [markdown]
# Each line is a wall. On the left are the cracks: without the bar, those whose line comes down through zero are missed. On the right is sound concrete, with nothing wrong but a bar.

# %%
claim(
    "T9.1",
    "on pictures without the mark the network is right less often than its test set says",
    with_habit["value"]
    - accuracy(cracked.astype(int), expit(explain.logits(shrewd, unmarked).astype(float)), photos)["value"],
    ">",
    0,
)

# %%
claim(
    "T9.2",
    "more of the evidence lies on the mark than on an even map",
    shares["thin_cam"]["pooled"]["low"],
    ">",
    shares["thin_cam"]["chance"],
)

# %%
claim(
    "T9.3",
    "the mark alone turns sound walls into cracks, and without it cracks are missed",
    min(before[kind]["to_target"]["low"] for kind in ("sound walls", "cracked walls")),
    ">",
    0,
)

# %% [markdown]
# ## The cure
#
# The network isn't stupid: the bar *was* the better feature, and only the few exceptions in these pictures could tell a larger network otherwise. The fault is in the pictures, so that is where the cure belongs. Photograph sound walls with the bar, and cracks without, until
# the bar says nothing: half of either class carries it. Everything else, the recipe, the number of pictures, the walls, stays.

# %%
balanced = gather(replace(habit, shortcut_correlation=0.0))
cured = taught(balanced, "cured")

# %%
draw_maps(cured, "09_maps_cured")

# %%
after = experiment(cured)
draw_pairs(after, "09_pairs_cured")


# %%
def figures(model, found):
    """Return the figures of a network, each with its interval."""
    rows = {
        "accuracy, pictures with the habit": accuracy(
            test["label"], cv.evaluation.predict(model, test, image_size), test["group"]
        ),
        "accuracy, pictures without a mark": accuracy(
            cracked.astype(int), expit(explain.logits(model, unmarked).astype(float)), photos
        ),
        "evidence on the mark (shortcut share)": share_of(model)["pooled"],
        "cracks found thanks to the mark only": found["cracked walls"]["to_target"],
        "sound walls that become cracks by the mark": found["sound walls"]["to_target"],
    }
    return pd.DataFrame(rows).T


reports = {"trained with the habit": figures(shrewd, before), "balanced": figures(cured, after)}
display = cv.plots.ScoresDisplay.from_report(reports)
_ = cv.series.save_figure(
    run,
    display.figure_,
    "09_before_and_after",
    alt="Five figures of the network trained with the habit and of the one trained on balanced pictures, each with its interval.",
)

# %% [markdown]
# Read the first two rows. If pictures with the habit are all you have, the network that reads the bar may well look like the better one; only the other pictures know.

# %%
old, new = (report["value"] for report in reports.values())
claim(
    "T9.4",
    "trained on balanced pictures, less of the evidence lies on the mark, and the mark changes fewer answers",
    max(new.iloc[2] / old.iloc[2], new.iloc[3:5].sum() / old.iloc[3:5].sum()),
    "<",
    1,
)

# %%
claim(
    "T9.5",
    "and it is right more often on pictures without a mark",
    new.iloc[1] - old.iloc[1],
    ">",
    0,
)

# %% [markdown]
# ## A test that has been seen before
#
# The other way of being praised for nothing needs no mark at all. Patches are cut from photographs, and patches of one photograph share their light, their surface, often the same piece of crack. If a photograph
# has patches on both sides of the split, the test asks, in part, what was learnt by heart. A *random* split of patches does exactly that.
#
# Here are photographs with fifty overlapping patches each, as a student's first data set may be. Every patch is tested once by a network that hasn't been trained on it: first with patches dealt out at random, then with
# whole photographs.


# %%
def out_of_sample(table, grouped):
    """Return a probability for each picture from a network that was trained on the other half."""
    halves = cv.data.split(table, validation=0, test=0.5, seed=seed, grouped=grouped)
    found = np.zeros(len(table))
    for part in ("train", "test"):
        half = halves[halves["split"] == part]
        learn = cv.data.split(half, validation=0.2, test=0, seed=seed, grouped=grouped)
        if not grouped:  # crackviz refuses to train on a split that leaks, so each patch must pass for a photograph
            learn = learn.assign(group=learn["path"])
        rest = halves[halves["split"] != part]
        name = f"{table['group'].nunique()}_{'photographs' if grouped else 'patches'}_{part}"
        model = taught(learn, name, epochs=3 * epochs, patience=3 * epochs)  # a small set needs more passes
        found[halves["split"] != part] = cv.evaluation.predict(model, rest, image_size)
    return found


# %% [markdown]
# Every patch is answered twice, so the gap is a difference patch by patch. Its interval comes from drawing whole photographs.


# %%
def gap_of(table):
    """Return how often either split is right, and the gap, each with its interval over the photographs."""
    labels = table["label"].to_numpy()
    right = {
        name: ((out_of_sample(table, grouped) >= 0.5) == labels).astype(float)
        for name, grouped in (("random split", False), ("split by photographs", True))
    }
    right["gap"] = right["random split"] - right["split by photographs"]
    drawn = cv.evaluation.Bootstrap(table["group"], resamples=2000, seed=seed)
    weights = drawn.weights(len(table))
    spans = {name: drawn.interval(weights @ values / weights.sum(axis=1)) for name, values in right.items()}
    return pd.DataFrame({name: spans[name] | {"value": values.mean()} for name, values in right.items()}).T


# %%
crowded = replace(habit, patches=patches // 2, patches_per_photo=50, shortcut="", distractor_rate=0.8)
album = cv.data.index(cv.synthetic.dataset(crowded))
gaps = {f"synthetic, {album['group'].nunique()} photographs": gap_of(album)}

# %% [markdown]
# The same pictures, the same recipe, as many pictures to learn from. Only who sits on which side has changed.

# %%
if data:
    how = {"crack_class": crack_class, "groups": groups}
    most = min((limit for limit in (max_images, n_own) if limit), default=0)
    own = cv.data.scan(cv.data.index(data, max_images=most, seed=seed, **how))
    gaps["your pictures"] = gap_of(own)
display = cv.plots.ScoresDisplay.from_report(gaps)
_ = cv.series.save_figure(
    run,
    display.figure_,
    "09_leakage",
    alt="How often the networks are right with a random split and with a split by photographs, and the gap between both, each with its interval.",
)
pd.concat(gaps).round(3)

# %%
torn = cv.data.split(album, validation=0, test=0.5, seed=seed, grouped=False)
sides = torn.groupby("group")["split"].nunique()
claim("T9.6", "the random split tears most photographs apart", (sides == 2).mean(), ">", 0.5, identity=True)

# %%
claim(
    "T9.7",
    "the random split flatters, by over two answers in a hundred",
    gaps[f"synthetic, {album['group'].nunique()} photographs"].loc["gap", "value"],
    ">",
    0.02,
)

# %% [markdown]
# Is the interval wide, or does it reach down to 0? Ten photographs are ten witnesses. How large such a gap is depends on the pictures. It may grow with the number of patches a photograph, with their overlap, and with what the network can learn by heart. It can't
# be known without splitting by photographs, and then there is no reason left to do it otherwise.
#
# ## To remember
#
# - A network learns what tells the classes apart, whatever it is.
# - A test set with the same habit can't notice it; a map can.
# - The shortcut share has to be compared with that of an even map.
# - Rendering the same wall with and without the mark is the proof.
# - The cure lies in the pictures: make the mark say nothing.
#
# **Two questions**
#
# <details><summary>The cured network scores lower on the old test set. Is it worse?</summary>
#
# No: there the mark was information, and it no longer uses it.
#
# </details>
#
# <details><summary>Why is painting over the mark a weaker proof than rendering the wall anew?</summary>
#
# The paint is a mark of its own, which no training picture had.
#
# </details>
#
# ## Exercises
#
# ★ is read off, ★★ takes a line or two, ★★★ is written. Put your answer in place of the dots and run the cell: it tells you whether it is right, or what is wrong with it.
#
# **09.1** ★ The shortcut share needs a mark with a place in the picture. Which of these has none: `"scale_bar"`, `"chalk_line"`, `"date_stamp"`, `"colour_cast"`?

# %% tags=["exercise"]
answer = ...
cv.series.exercise("09.1", answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# A cast of colour lies everywhere, as the quality of a JPEG or a lens does. Then the evidence lies on neither crack nor mark, and `elsewhere` in the result of `shortcut_share` says so.
#
# ```python
# answer = "colour_cast"
# ```
#
# </details>
#
# **09.2** ★★ With `shortcut_correlation=0.9`, 95 % of the cracked pictures carry the mark, and 5 % of the sound ones. Which share of the cracked ones carries it with 0.72?

# %% tags=["exercise"]
answer = ...
cv.series.exercise("09.2", answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# $(1 + 0.72) / 2 = 0.86$, and 0.14 of the sound ones.
#
# ```python
# answer = (1 + 0.72) / 2
# ```
#
# </details>
#
# **09.3** ★★★ Write `def answer(values, mark, crack):` for one map and two masks of the same shape, in which a pixel counts where it is above one half. It returns the shortcut share: of the positive evidence on mark and crack, how much is on the mark? Where they overlap, a pixel counts for both.

# %% tags=["exercise"]
answer = ...
cv.series.exercise("09.3", answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# The sum on the mark, over the sums on mark and crack.
#
# ```python
# def answer(values, mark, crack):
#     positive = values.clip(min=0)
#     on_mark, on_crack = positive[mark > 0.5].sum(), positive[crack > 0.5].sum()
#     return on_mark / (on_mark + on_crack)
# ```
#
# </details>
#
# **To go on**, without a check:
#
# 1. Set `shortcut = "date_stamp"`, and name another `run` folder. Which figures get worse, and why does this mark win so clearly?
# 2. Paint the marks over instead: set `pictures[marks]` to each picture's mean colour, and ask the first network again. Why is this a worse experiment than rendering the wall anew?
# 3. How many pictures does the cure need? Balance only a fifth of the set (`shortcut_correlation=0.72`).
# 4. Does the network of notebook 02 read scale bars? Put `cv.models.find(run).load()` to the experiment, with pairs of its own image size.
#
# <details><summary>Solutions</summary>
#
# 1: the stamp is orange, always in one corner, and nothing else on concrete is; a colour is easily learnt. 2: a grey box is a mark of its own, with edges, which no training picture had; what changes may be the box's doing. 3: compare both columns: the maps and the answers needn't change at the same share. 4: it was never taught the habit; what remains is how much a bar looks like a crack to it.
#
# </details>

# %%
cv.series.write_results(
    run,
    "09_shortcuts",
    {
        "shortcut": shortcut,
        "before and after": {name: report.to_dict("index") for name, report in reports.items()},
        "shortcut share by method": {m: {**s["pooled"], "even map": s["chance"]} for m, s in shares.items()},
        "leakage": {name: report.to_dict("index") for name, report in gaps.items()},
    },
)
