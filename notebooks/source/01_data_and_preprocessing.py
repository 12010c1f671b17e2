# %% [markdown]
# # 01 · Data and preprocessing
#
# A network can only learn what its pictures show, and a test can only ask what was kept out of training. Most of what goes
# wrong in crack detection goes wrong here, before any network is built, and shows as *too good* a result.
#
# | | |
# |---|---|
# | **You will learn** | to read a folder of pictures, resize without losing thin cracks, find copies, split without leaking, augment |
# | **Time** | 30 minutes to read, a minute and a half to run |
# | **Theory** | [T1 Data and preprocessing](../THEORY.md#t1-data-and-preprocessing) |

# %% tags=["parameters"]
data: str = ""  # folder with pictures; "" is synthetic concrete, made here
crack_class: str = ""  # the folder whose pictures show cracks, where its name doesn't say so
groups: str = ""  # which pictures show one place: "folder:1", a pattern, a CSV file; "" goes by file names
run: str = ""  # run folder, where results are kept; "" is runs/lesson
image_size: int = 128  # side to which pictures are resized [px]
max_images: int = 4000  # pictures used, drawn by whole groups; 0 takes all
seed: int = 0  # fixes every random choice

# %%
import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage
from skimage.segmentation import mark_boundaries

import crackviz as cv
from crackviz.claims import claim
from crackviz.contracts import check_number

run = cv.series.open_run(run, "01_data_and_preprocessing")
for name, value, least in (("seed", seed, 0), ("max_images", max_images or 6, 6)):  # max_images 0 takes all
    check_number(name, value, least, whole=True)

# %% [markdown]
# ## One table
#
# Whatever the folder looks like (`Positive/` and `Negative/`, SDNET2018's `CW/` and `UW/`, pictures with [masks](../THEORY.md#g-mask)), it becomes
# one table with one row per picture. No picture is opened for that.

# %%
found = cv.data.index(data, crack_class=crack_class, groups=groups)
print(f"{len(found):,} pictures, laid out as {found['source'].iloc[0]}")
found["label"].map(dict(enumerate(found.attrs["class_names"]))).value_counts().to_frame("pictures")

# %% [markdown]
# Then every picture is opened once. One that can't be read is left out, counted and named; it doesn't stop the rest. At the
# same time each gets a *fingerprint*, which we will need soon.

# %%
table = cv.data.scan(cv.data.subset(found, max_images, seed=seed))
print(f"{len(table):,} pictures can be used, {len(table.attrs['skipped'])} were left out")
for skipped in table.attrs["skipped"][:5]:
    print(" ", skipped["path"], "-", skipped["reason"])

# %% [markdown]
# Here are some of them, as they are. If you named no folder, they were never photographed: see below.

# %%
examples = table.sample(frac=1, random_state=seed).groupby("label").head(4).sort_values("label", kind="stable")
names = [table.attrs["class_names"][label] for label in examples["label"]]
originals = [cv.data.read_image(path) for path in examples["path"]]
display = cv.plots.ImagesDisplay.from_images(originals, titles=names)
_ = cv.series.save_figure(
    run,
    display.figure_,
    "01_examples",
    alt="Patches of concrete from the data set: sound ones in the upper row, cracked ones in the lower row.",
)

# %% [markdown]
# Look closely before you go on. How thin is the thinnest crack? Which sound patch would you have called cracked?
#
# ## Concrete that was never poured
#
# Where no folder is named, the pictures are *synthetic*: a program composes a wall, lets cracks grow over it, adds what else is
# found on walls, photographs it and cuts the photograph up. Why would anybody want that? Because of what comes with it: the truth, to the
# pixel. Nobody drew these outlines by hand; they are where the program opened the wall.

# %%
cracked = [cv.synthetic.patch(8 * wall + 1) for wall in range(18)]
sound = [cv.synthetic.patch(8 * wall) for wall in range(18)]
outlined = [mark_boundaries(made.image, made.mask, color=(1, 0.85, 0), mode="outer") for made in cracked[:5]]
shown = [*outlined[:5], *(made.image for made in sound[:5])]
display = cv.plots.ImagesDisplay.from_images(shown, columns=5)
display.figure_.set_size_inches(10.4, 4.4)
_ = cv.series.save_figure(
    run,
    display.figure_,
    "01_synthetic",
    alt="Ten rendered patches. In the upper row cracks are outlined in yellow, in the lower row is a sound patch of each of the same walls.",
)

# %% [markdown]
# Above, patches with a crack and the outline of its mask; below, without. Each pair, one under the other, is from one wall. In
# the light, the colour and the texture there is nothing to be learnt: walls with cracks are the walls without.

# %%
claim(
    "T1.1",
    "in synthetic concrete every crack's middle line lies in its mask, and a sound patch has no mask",
    all(made.mask.any() and not (made.centreline & ~made.mask).any() for made in cracked)
    and not any(made.mask.any() for made in sound),
    identity=True,
)

# %% [markdown]
# This is a whole photograph, and where its eight patches were cut. They overlap here and there, as METU's do. What a network learns about one of
# them it knows about the others: they must stay together when the pictures are split.

# %%
photo = cv.synthetic.photograph(3)
whole = Image.fromarray(photo.image)
frame = ImageDraw.Draw(whole)
for made in (cv.synthetic.patch(number) for number in range(24, 32)):
    x, y = made.position
    frame.rectangle((x, y, x + 127, y + 127), outline=(255, 217, 0) if made.label else (0, 114, 178), width=5)
display = cv.plots.ImagesDisplay.from_images([np.asarray(whole)], titles=["yellow: with a crack; blue: without"])
display.figure_.set_size_inches(8, 6.4)
_ = cv.series.save_figure(
    run,
    display.figure_,
    "01_photograph",
    alt="A rendered photograph of a wall with the eight squares that are cut from it: yellow ones hold a crack, blue ones don't. Some overlap.",
)

# %% [markdown]
# ### What else lies on walls
#
# A network that calls everything long and dark a crack would be right about most photographs of cracks, and useless on a wall. So the walls carry
# *distractors*: joints, shadows, cables, stains, chalk. They lie on cracked and on sound patches, and each is known by its name. Of three hundred sound
# patches, one of each wall, here is for each kind the one on which it stands out most from what is around it.

# %%
gallery = {}
for made in (cv.synthetic.patch(number) for number in range(2, 2400, 8)):  # sound ones, one of each wall
    for name, there in made.distractors.items():
        around = ndimage.uniform_filter(there.astype(float), 25) > 0  # so many px about
        beside = made.image[around & ~there]
        apart = np.abs(made.image[there] - np.median(beside, axis=0)).sum(axis=1).mean() / (4 + beside.std())
        whole = np.sqrt(min(there.mean(), 0.1)) * min(there.mean() / 0.02, 1)  # no sliver at the border
        clear = apart * whole / len(made.distractors) ** 1.5  # best alone
        if clear > gallery.get(name, (0, None))[0]:
            gallery[name] = clear, made.image
kinds = sorted(gallery)
display = cv.plots.ImagesDisplay.from_images(
    [gallery[kind][1] for kind in kinds], titles=[kind.replace("_", " ") for kind in kinds], columns=6
)
_ = cv.series.save_figure(
    run,
    display.figure_,
    "01_distractors",
    alt="A gallery of sound patches, one for each kind of distractor, with its name above: joints, cables, shadows, stains, marks and more.",
)

# %% [markdown]
# Is it too easy? Try the rules that come to mind first: the darkest pixel, the mean brightness, the number of edges. For each we take the
# best [threshold](../THEORY.md#g-threshold) there is, chosen with the answers at hand.

# %%
easy = cv.data.index("synthetic")
grey = np.stack([cv.data.read_image(path).mean(axis=2) for path in easy["path"]]) / 255
cracks = easy["label"].to_numpy()
rules = {
    "darkest pixel": grey.min(axis=(1, 2)),
    "mean brightness": grey.mean(axis=(1, 2)),
    "number of edges": (np.abs(np.diff(grey, axis=1)) > 0.1).mean(axis=(1, 2)),
}


def best_threshold(score):
    """Return the share of right answers at the best threshold, in the better direction."""
    right = np.cumsum(np.where(cracks[np.argsort(score)] == 0, 1, -1)) + cracks.sum()
    return max(right.max(), len(cracks) - right.min()) / len(cracks)


accuracy = {name: best_threshold(score) for name, score in rules.items()}
for name, share in accuracy.items():
    print(f"{name:16s} right in {share:.0%}")

# %%
claim(
    "T1.2",
    "darkest pixel, mean brightness and number of edges each answer rightly for less than 78 % of the default set",
    max(accuracy.values()),
    "<",
    0.78,
)

# %% [markdown]
# Cracks are dark all the same. One pixel may be dark by chance, or by a pore; a crack has many. So try the darkest *hundredth* of the pixels.

# %%
darkest = best_threshold(np.quantile(grey, 0.01, axis=(1, 2)))
claim(
    "T1.3",
    "the darkest hundredth of the pixels alone answers rightly for some four fifths of the default set",
    darkest,
    "within",
    (0.77, 0.85),
)

# %% [markdown]
# A few such numbers together tell more, and a network has to beat *them*, not a coin: notebook 03 makes the comparison.
#
# The dials of the renderer are parameters: `data = "synthetic:crack_width=(0.8,3),distractor_rate=0.8,seed=1"` in the cell above makes a harder
# set of other walls. `cv.synthetic.Settings` describes them all. Does what is learnt here hold on real concrete? [THEORY.md](../THEORY.md#t1-data-and-preprocessing)
# has the figures.
#
# ## Pixels
#
# A file holds whole numbers from 0 to 255. The network gets them divided by 255, all pictures brought to one size.

# %%
images = cv.data.load_images(examples["path"], image_size)
print(images.shape, images.dtype, f"from {images.min():.2f} to {images.max():.2f}")

# %%
claim(
    "T1.4",
    "every image is float32, within [0, 1], square and in colour",
    images.dtype == np.float32
    and images.min() >= 0
    and images.max() <= 1
    and images.shape[1:] == (image_size, image_size, 3),
    identity=True,
)

# %% [markdown]
# ## Making a picture smaller
#
# There are two ways to make a picture a third as wide. Take every third pixel; or average over all the pixels that a new
# one covers. The first is quicker, and wrong: it drops whichever two of three lines it doesn't hit. This is *aliasing*, and
# for cracks a pixel or two wide it decides whether they are still there. The second is *[anti-aliasing](../THEORY.md#g-anti-aliasing)*.

# %% [markdown]
# So that nobody can miss it, we draw a hairline across a patch, one pixel wide, and reduce it both ways.

# %%
patch = Image.fromarray(originals[-1])
width, height = patch.size
ink = 0 if np.median(originals[-1]) > 64 else 255
ImageDraw.Draw(patch).line((0, 0.35 * height, width, 0.05 * height), fill=(ink, ink, ink), width=1)
small = width // 3, height // 3
every_third = np.asarray(patch.resize(small, Image.Resampling.NEAREST))
averaged = np.asarray(patch.resize(small, Image.Resampling.BILINEAR))
display = cv.plots.ImagesDisplay.from_images(
    [np.asarray(patch), every_third, averaged], titles=["a patch and a hairline", "every third pixel", "averaged"]
)
display.figure_.set_size_inches(10, 3.9)
_ = cv.series.save_figure(
    run,
    display.figure_,
    "01_aliasing",
    alt="A patch with a thin line drawn across it; beside it the patch at a third of the size, once by taking every third pixel, where the line is dotted, and once averaged, where it is pale and whole.",
)

# %% [markdown]
# In the middle the hairline has become dots: where the line ran between the pixels that were taken, it is gone. On the right
# it is paler, about a third of its contrast, but whole. A crack detector can live with pale; it can't find what isn't there.

# %%
difference = np.abs(every_third.astype(int) - averaged.astype(int))
print(f"The two differ by up to {difference.max()} of 255 grey levels.")

# %%
contrast = abs(ink - np.median(originals[-1]))  # of the hairline, on this patch
claim(
    "T1.5",
    "reducing without antialiasing changes pixels by over half of a hairline's contrast",
    difference.max() / contrast,
    ">",
    0.5,
)

# %% [markdown]
# ## Copies
#
# Patches are cut from photographs, and some are cut from nearly the same place. If one lands in training and its twin in
# the test, the test asks what was learnt by heart.
#
# A fingerprint, the *difference hash*, finds them. Reduce the picture to 17 × 16 grey pixels and note for each whether its right neighbour is
# brighter: 256 yes-or-no answers. More light, less contrast or a small shift change few of them.

# %%
fingerprint = np.unpackbits(np.frombuffer(cv.data.dhash(originals[-1]), np.uint8)).reshape(16, 16)
display = cv.plots.ImagesDisplay.from_images(
    [originals[-1], fingerprint.astype(float)], titles=["a patch", "its fingerprint, 256 bits"]
)
display.figure_.set_size_inches(7, 3.9)
_ = cv.series.save_figure(
    run,
    display.figure_,
    "01_fingerprint",
    alt="A patch, and beside it its fingerprint: 16 by 16 black and white squares.",
)


# %%
def distance(one, other):
    """Count the bits in which the fingerprints of two pictures differ."""
    bits = [np.unpackbits(np.frombuffer(cv.data.dhash(image), np.uint8)) for image in (one, other)]
    return int((bits[0] != bits[1]).sum())


rng = np.random.default_rng(seed)
several = [cv.data.read_image(path) for path in table["path"].sample(min(50, len(table)), random_state=seed)]
to_itself = np.array([distance(image, (image * 0.9 + 25).astype(np.uint8)) for image in several])
bits = np.stack([np.unpackbits(np.frombuffer(value, np.uint8)) for value in table["hash"]])
pairs = [rng.choice(len(table), 2, replace=False) for _ in range(200)]
to_others = np.array([(bits[a] != bits[b]).sum() for a, b in pairs])
print(
    f"the same in other light: {np.median(to_itself):.0f} bits    another patch: {np.median(to_others):.0f} bits (medians)"
)

# %%
claim(
    "T1.6",
    "half of the patches keep all but 12 bits in other light, and half of all pairs differ in more than 90",
    np.median(to_others),
    ">",
    90,
    provided=np.median(to_itself) <= 12,
)

# %% [markdown]
# Pictures within 12 bits of each other count as [near-duplicates](../THEORY.md#g-near-duplicate), and chains of them form a group; where the number of the
# photograph is known, it is the group. Here is what was found, one pair of each chain at most. Judge for yourself whether they show the same place.

# %%
pairs = cv.data.near_duplicate_pairs(list(table["hash"]))
if len(pairs):
    one_each = {table["group"].iloc[pair[0]]: pair for pair in pairs}.values()  # of three alike, not all three pairs
    shown = [path for pair in list(one_each)[:2] for path in table["path"].iloc[list(pair)]]
    titles = [f"pair {i // 2 + 1}" for i in range(len(shown))]
    display = cv.plots.ImagesDisplay.from_images([cv.data.read_image(path) for path in shown], titles=titles)
    _ = cv.series.save_figure(
        run,
        display.figure_,
        "01_near_duplicates",
        alt="Pairs of patches whose fingerprints nearly agree, side by side.",
    )
print(f"{len(np.unique(pairs)):,} of {len(table):,} pictures have a near-duplicate, in {len(pairs):,} pairs")

# %% [markdown]
# ## The split
#
# About seven tenths for training, and 15 % each for [validation](../THEORY.md#g-validation) and test. Whole groups are dealt, and each part gets about the same
# share of cracked pictures. The table with its split is written to `split.csv` in the run folder; the next notebooks read it
# there.

# %%
table = cv.data.prepare(
    data, run / "split.csv", max_images=max_images, seed=seed, crack_class=crack_class, groups=groups
)
table.groupby(["split", "label"]).size().unstack().rename(columns=dict(enumerate(table.attrs["class_names"])))


# %%
def torn(table):
    """Count the groups that lie in more than one part."""
    return int((table.groupby("group")["split"].nunique() > 1).sum())


claim("T1.7", "no group lies in two parts of the split", torn(table), "==", 0, identity=True)

# %% [markdown]
# What would a random split have done? `grouped=False` makes one; it has to be asked for by name. A group of $n$ pictures then stays whole only if all $n$ fall into the same part. With parts of the shares $s$, that has the chance $\sum s^n$: for $n = 2$ about one half, for $n = 8$ six in a hundred.

# %%
random_split = cv.data.split(table.drop(columns="split"), seed=seed, grouped=False)
print(f"groups torn apart: {torn(random_split)} by a random split, {torn(table)} by ours")

# %%
sizes = table.groupby("group").size().to_numpy()
shares = random_split["split"].value_counts(normalize=True).to_numpy()
chance = 1 - (shares[:, np.newaxis] ** sizes).sum(axis=0)  # of each group, to be torn
spread = np.sqrt((chance * (1 - chance)).sum()) / len(sizes)
claim(
    "T1.8",
    "a random split tears apart as many groups as chance says",
    torn(random_split) / len(sizes),
    "within",
    (chance.mean() - 4 * spread - 1e-9, chance.mean() + 4 * spread + 1e-9),
)

# %% [markdown]
# Nearly every picture of a torn group that is tested has relatives in training: part of its answer was given away. Near-duplicates are rare here; in METU's full set two
# in five of the cracked patches have one. Remember it when a paper reports 99.9 %.
#
# ## Augmentation
#
# A crack mirrored or turned is still a crack, and so is one in the shade. The network doesn't know that. We show it, by changing
# the training pictures a little, at random, every time they are used: *[augmentation](../THEORY.md#g-augmentation)*.

# %%
augment = cv.data.augmentation(seed)
one = np.repeat(images[-1:], 6, axis=0)
changed = np.asarray(augment(one, training=True))
display = cv.plots.ImagesDisplay.from_images(changed, titles=[f"variant {i}" for i in range(1, 7)])
_ = cv.series.save_figure(
    run,
    display.figure_,
    "01_augmentation",
    alt="Six variants of one training patch: mirrored, turned, and with other light.",
)

# %%
untouched = np.asarray(augment(one, training=False))
claim(
    "T1.9",
    "augmentation changes training pictures within [0, 1] and leaves all others alone",
    not np.allclose(changed, one) and changed.min() >= 0 and changed.max() <= 1 and np.array_equal(untouched, one),
    identity=True,
)

# %% [markdown]
# Every change must keep the label true. Zooming out too far would make cracks too thin to see; turning the contrast too low would hide
# them. That is a decision about concrete, and no library can take it for you.
#
# ## To remember
#
# - Look at the pictures before anything is computed.
# - Make pictures smaller with smoothing, or fine patterns turn into false ones.
# - Copies of one picture in training and test make every network look good.
# - Split by groups: what shows one place stays in one part.
# - A simple rule, such as the darkest pixels, is the mark that a network has to beat.
#
# **Two questions**
#
# <details><summary>Why isn't a random split of patches enough?</summary>
#
# Patches of one photograph, and copies, land on both sides; the test then asks what was learnt by heart.
#
# </details>
#
# <details><summary>What does the validation part decide, and what the test part?</summary>
#
# Validation decides when to stop and what to choose. The test part decides nothing; it is asked once.
#
# </details>
#
# ## Exercises
#
# ★ is read off, ★★ takes a line or two, ★★★ is written. Put your answer in place of the dots and run the cell: it tells you whether it is right, or what is wrong with it.
#
# **01.1** ★ Which of these may make the label "crack" false: `"mirroring"`, `"turning"`, `"blurring"`, `"swapping colours"`, `"cutting out a quarter"`? Give a set, such as `{"mirroring", "turning"}`.

# %% tags=["exercise"]
answer = ...
cv.series.exercise("01.1", answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# Blurring hides thin cracks, and the quarter that is cut out may hold the crack. Mirroring and turning are safe. Swapping colours leaves a crack a crack; but rust tells an engineer something.
#
# ```python
# answer = {"blurring", "cutting out a quarter"}
# ```
#
# </details>
#
# **01.2** ★ Your pictures show a scale bar in all the cracked patches and in none of the others. What makes the test notice it: `"a split by groups"`, `"more pictures"` or `"neither"`?

# %% tags=["exercise"]
answer = ...
cv.series.exercise("01.2", answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# The [shortcut](../THEORY.md#g-shortcut) is in every part of the split, so the test can't notice. Only a map would.
#
# ```python
# answer = "neither"
# ```
#
# </details>
#
# **01.3** ★★ Near-duplicates were pairs within 12 bits. Find the pairs within 20: the second argument of `cv.data.near_duplicate_pairs` says how many bits. Then look at some of the new ones.

# %% tags=["exercise"]
answer = ...
cv.series.exercise("01.3", answer, of=(list(table["hash"]),))

# %% [markdown]
# <details><summary>Solution</summary>
#
# More pairs are found, and more of them are no twins: the limit is a compromise.
#
# ```python
# answer = cv.data.near_duplicate_pairs(list(table["hash"]), 20)
# ```
#
# </details>
#
# **01.4** ★★★ Write `def answer(grey):` that makes a grey picture of shape (rows, columns) half as high and half as wide, by the mean of each two by two pixels. Both sides are even.

# %% tags=["exercise"]
answer = ...
cv.series.exercise("01.4", answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# Cut each side in two, so that the array has four axes, and take the mean over the short ones.
#
# ```python
# def answer(grey):
#     rows, columns = grey.shape
#     return grey.reshape(rows // 2, 2, columns // 2, 2).mean(axis=(1, 3))
# ```
#
# </details>
#
# **To go on**, without a check:
#
# 1. Look at the sound patches of the figure with the distractors. For each, which rule of thumb would take it for a crack?

# %%
parts = table.groupby("split").size()
cv.series.write_results(
    run,
    "01_data_and_preprocessing",
    {
        "pictures": len(table),
        "left out": len(table.attrs["skipped"]),
        "with a near-duplicate": len(np.unique(pairs)),
        "training": int(parts["train"]),
        "validation": int(parts["validation"]),
        "test": int(parts["test"]),
        "groups torn by a random split": torn(random_split),
    },
)
