# %% [markdown]
# # 10 · Transfer learning, and four networks on equal terms
#
# Must a network for cracks be trained from nothing? One that has seen a million photographs of cats, cars and cups already knows edges and lines. Here it learns
# cracks from a few hundred pictures: *[transfer learning](../THEORY.md#g-transfer-learning)*. Then four networks of different build stand side by side: what they cost, how often they are right, and where they look.
#
# | | |
# |---|---|
# | **You will learn** | freeze and fine-tune; compare networks fairly; TensorBoard in JupyterLab; what other pictures do to a good network |
# | **Time** | 35 minutes to read, about three minutes to run |
# | **Theory** | [T10 Transfer learning](../THEORY.md#t10-transfer-learning) |
# | **Before** | [02 Training](02_training.ipynb), [06 Grad-CAM](06_grad_cam.ipynb) |

# %% tags=["parameters"]
data: str = ""  # folder with pictures; "" is synthetic concrete, made here
crack_class: str = ""  # the folder whose pictures show cracks, where its name doesn't say so
groups: str = ""  # which pictures show one place: "folder:1", a pattern, a CSV file; "" goes by file names
run: str = ""  # run folder, where results are kept; "" is runs/lesson
image_size: int = 96  # side to which pictures are resized [px]; small, for speed
max_images: int = 4000  # pictures of the run, drawn by whole groups; 0 takes all
n_training: int = 400  # of their training pictures, so many are learnt from here
n_validation: int = 120  # and so many validation pictures decide when to stop
epochs: int = 8  # at most so many passes over the training pictures, for each network
patience: int = 3  # epochs without a lower validation loss before training stops
batch_size: int = 16  # pictures per step
learning_rate: float = 0.003  # at the start; fine-tuning starts at a thirtieth of it
decay: float = 0.8  # factor of the learning rate per epoch
weights: str = ""  # of MobileNetV2: a file; "imagenet" downloads it; "" takes what is there
first_layer: str = "block_6_expand"  # fine-tuning goes from here on
n_images: int = 5  # pictures explained here, chosen by a rule
elsewhere: str = ""  # folders of other pictures for the last table, separated by ";"
tensorboard: bool = False  # True opens TensorBoard below
seed: int = 0  # fixes every random choice

# %%
import time
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy import ndimage
from sklearn.metrics import roc_auc_score

import crackviz as cv
from crackviz.claims import claim
from crackviz.contracts import check_number

run = cv.series.open_run(run, "10_transfer_learning")
for name, value in {"n_training": n_training, "n_validation": n_validation, "n_images": n_images}.items():
    check_number(name, value, 1, whole=True)
recipe = cv.training.Recipe(
    epochs=epochs, patience=patience, batch_size=batch_size, learning_rate=learning_rate, decay=decay
)
if weights:  # needed below: a mistake in it should show now
    cv.models.build("mobilenet_v2", image_size, weights=weights)
for folder in filter(None, elsewhere.split(";")):  # needed at the end: a mistake in a name should show now
    cv.data.index(folder.strip())
table = cv.data.prepare(
    data, run / "split.csv", max_images=max_images, seed=seed, crack_class=crack_class, groups=groups
)
explain, faith = cv.attribution, cv.faithfulness

# %% [markdown]
# All networks get the same pictures: some of the run's training part to learn from, some of its validation part to stop by, and its test part to be
# measured on. No group lies in two of them.


# %%
def some_of(part, count):
    """Return about `count` rows of a part of the split, both classes in their proportion."""
    rows = table[table["split"] == part]
    return rows.groupby("label").sample(frac=min(1, count / len(rows)), random_state=seed)


chosen = pd.concat([some_of("train", n_training), some_of("validation", n_validation)]).index
lesson = table.loc[chosen]
test = table[table["split"] == "test"]
labels = test["label"].to_numpy()
lesson.groupby("split").size().to_frame("pictures")

# %% [markdown]
# ## A network that has seen the world
#
# **MobileNetV2** was made to run on telephones: 52 convolutions, most of them very cheap. We take the narrow edition, with 0.35 times the channels. Its weights were trained on ImageNet, a million photographs of a thousand
# kinds of things. We cut off its last layer, which tells these kinds apart, and put our own end on it: average, one logit, sigmoid.

# %%
source = weights or cv.models.imagenet_weights()  # None: Keras has kept no download
net = cv.models.build("mobilenet_v2", image_size, seed=seed, weights=source or None)
if source is None:
    shipped_base = cv.models.load_pretrained("mobilenet_v2").get_weights()[:-2]  # all but its head, which knows METU
    net.set_weights(shipped_base + net.get_weights()[-2:])
cv.models.set_trainable(net, first_layer)  # needed for fine-tuning only: a mistake in its name should show now
print("weights:", "as they come with crackviz" if source is None else source if source == weights else "Keras's cache")

# %% [markdown]
# Wherever they come from, these are the weights that ImageNet's pictures gave: the network has met no concrete yet.
#
# ### Frozen
#
# First, everything but the new end is **frozen**: its weights stay. Only 1,281 numbers are left to learn, from whatever the base has to tell. That is
# fast, and hard to spoil.

# %%
learning = cv.models.set_trainable(net)
print(f"{learning:,} of {net.count_params():,} weights learn")
before = net.get_weights()
frozen_epochs = max(1, epochs // 3)
frozen_history = cv.training.train(
    net,
    lesson,
    run / "networks" / "mobilenet_v2_frozen",
    replace(recipe, epochs=frozen_epochs),
    image_size=image_size,
    seed=seed,
    logs=run / "logs" / "mobilenet_v2_frozen",
)

# %%
after = net.get_weights()
unchanged = [np.array_equal(old, new) for old, new in zip(before, after, strict=True)]
claim(
    "T10.1",
    "frozen, MobileNetV2 learns in its last layer alone: every other weight stays as it was",
    all(unchanged[:-2]) and not any(unchanged[-2:]),
    identity=True,
)

# %% [markdown]
# ### Fine-tuned
#
# The base was made for cats and cups. Once the end is no longer random, the deeper part of the base may give way a little (*[fine-tuning](../THEORY.md#g-fine-tuning)*). From `first_layer` on, the weights learn
# too, in much smaller steps (a rate of 0.0001), because large ones can undo what the base knew. Two things are left alone: the early layers, whose edges serve everybody, and the running means of *[batch normalisation](../THEORY.md#g-batch-normalisation)*, which come
# from a million pictures and would be spoilt by [batches](../THEORY.md#g-batch) of sixteen.

# %%
learning = cv.models.set_trainable(net, first_layer)
print(f"{learning:,} of {net.count_params():,} weights learn")
before = {weight.path: weight.numpy() for weight in net.weights}
tuned_history = cv.training.train(
    net,
    lesson,
    run / "networks" / "mobilenet_v2",
    replace(recipe, epochs=max(1, epochs - frozen_epochs), learning_rate=learning_rate / 30),
    image_size=image_size,
    seed=seed,
    logs=run / "logs" / "mobilenet_v2",
)

# %%
moved = [weight.path for weight in net.weights if not np.array_equal(weight.numpy(), before[weight.path])]
allowed = [weight.path for weight in net.trainable_weights]
claim(
    "T10.2",
    "fine-tuned, it changes from the chosen layer on, and the running means stay as they were",
    set(moved) <= set(allowed) and len(moved) > 2 and not any("moving_" in path for path in moved),
    identity=True,
)

# %%
both = pd.concat([frozen_history, tuned_history], ignore_index=True)
both["epoch"] = np.arange(1, len(both) + 1)
display = cv.plots.HistoryDisplay.from_history(both)
for axis in display.ax_.flat:
    axis.axvline(len(frozen_history) + 0.5, color="black", linewidth=1)
    axis.set_title("left of the line: frozen; right: fine-tuned", fontsize=12)
_ = cv.series.save_figure(
    run,
    display.figure_,
    "10_mobilenet_history",
    alt="Loss and accuracy over the epochs; a line parts the training with a frozen base from fine-tuning, a dotted one marks the epoch that was kept.",
)

# %% [markdown]
# The line is where the second training begins. Did the few hundred pictures suffice?


# %%
def accuracy_of(model, rows):
    """Return the share of right answers at even odds."""
    return float(np.mean((cv.evaluation.predict(model, rows, image_size) >= 0.5) == rows["label"]))


learnt = {part: accuracy_of(net, lesson[lesson["split"] == part]) for part in ("train", "validation")}
print(f"accuracy: training {learnt['train']:.1%}, validation {learnt['validation']:.1%}")
validation = lesson[lesson["split"] == "validation"]
in_order = roc_auc_score(validation["label"], cv.evaluation.predict(net, validation, image_size))

# %%
pictures = cv.data.load_images(validation["path"], image_size)
dark = roc_auc_score(validation["label"], -np.quantile(pictures.mean(axis=-1), 0.01, axis=(1, 2)))
claim(
    "T10.3",
    "fine-tuned on a few hundred pictures, it puts cracked above sound pictures more often than the darkest hundredth of the pixels does",
    in_order - dark,
    ">",
    0,
    unless=f"dark pixels alone put {dark:.1%} of the pairs in order, and leave hardly any to beat them in"
    if dark > 0.99
    else "",
)

# %% [markdown]
# ## From nothing, three ways
#
# The others start from random weights:
#
# - **gap_cnn**, two convolutions and an average: the smallest of all;
# - **deep_cnn**, what textbooks build: four convolutions with pooling, then [dropout](../THEORY.md#g-dropout) and *two* dense layers, and a [softmax](../THEORY.md#g-softmax) over two classes;
# - **local_cnn**, made to be explained: a cell of its map is one pixel, and only pixels that are darker than their surroundings can hold evidence.
#
# `gap_cnn` learns at twice the rate of the others, since two convolutions have little to go by and learn slowly: a right to be tuned is part of equal terms. They get the same pictures, the same augmentation, as many epochs at most, and the same patience as MobileNetV2 had in both stages.

# %%
networks = {"mobilenet_v2": net}
epochs_used = {"mobilenet_v2": len(both)}
for name in ("gap_cnn", "deep_cnn", "local_cnn"):
    model = cv.models.build(name, image_size, seed=seed)
    history = cv.training.train(
        model,
        lesson,
        run / "networks" / name,
        replace(recipe, learning_rate=learning_rate * (2 if name == "gap_cnn" else 1)),
        image_size=image_size,
        seed=seed,
        logs=run / "logs" / name,
    )
    networks[name], epochs_used[name] = model, len(history)

# %% [markdown]
# A softmax over two classes has two logits where one would do: adding the same number to both changes nothing. What decides is their difference, so that is what we explain: the map of "crack" less the map of
# "no crack".

# %%
images = cv.data.load_images(test["path"].iloc[:16], image_size)
two = explain.logits(networks["deep_cnn"], images).astype(np.float64)
probability = networks["deep_cnn"].predict(images, verbose=0)[:, 1]
claim(
    "T10.4",
    "of the two logits of a softmax only the difference counts: its logistic function is the probability",
    np.abs(1 / (1 + np.exp(two[:, 0] - two[:, 1])) - probability).max(),
    "<",
    1e-5,
    identity=True,
)

# %% [markdown]
# ## Where they look


# %%
def map_of(model, images):
    """Return what speaks for a crack: Grad-CAM's map, of two logits that of their difference."""
    maps = explain.grad_cam(model, images)
    return maps if model.output_shape[-1] == 1 else maps - explain.grad_cam(model, images, target="no_crack")


asked = test.sample(frac=1, random_state=seed).head(400)
some = cv.evaluation.examples(asked, explain.logits(net, cv.data.load_images(asked["path"], image_size)), n_images)
images = cv.data.load_images(some["path"], image_size)
maps = {name: map_of(model, images) for name, model in networks.items()}
titles = [why.replace(": ", ":\n").replace(", with ", ",\nwith ").replace(" and ", "\nand ") for why in some["why"]]
own = {name: explain.logits(model, images) for name, model in networks.items()}
own = {name: z if z.ndim == 1 else z[:, 1] - z[:, 0] for name, z in own.items()}
masks = cv.data.load_masks(some["mask"], image_size) if (some["mask"] != "").all() else None  # outlined where known
drawn = {"titles": titles, "logits": own, "label": "logits per cell", "masks": masks}
display = cv.plots.AttributionGridDisplay.from_maps(images, maps, **drawn, widen=1, percentile=99)
_ = cv.series.save_figure(
    run,
    display.figure_,
    "10_maps",
    alt="The same patches under the maps of four networks; above each stands that network's own logit, and each network has a colour bar of its own.",
)

# %% [markdown]
# A rule picks the pictures, as in notebook 00, by the answers of MobileNetV2: its two surest cracks, its surest sound patch, its surest mistake, then a sound one with a distractor. Each comes from another wall, as long as there is one. The number is each network's own logit.
#
# The large network's cells are wide: 32 px each, a third of the patch's side. It may be right more often than the others, and yet it can't say where. And a wide cell isn't
# the whole of it, because each cell *sees* much more than it covers:

# %%
fields = {}
for name, model in networks.items():
    last = explain.ladder(model).loc[explain.default_layer(model)]
    fields[name] = {"cell [px]": last["stride"], "sees [px]": last["receptive_field"]}
pd.DataFrame(fields).T.astype(int)

# %%
claim(
    "T10.5",
    "a cell of MobileNetV2's last map sees over ten times as far as one of gap_cnn's",
    fields["mobilenet_v2"]["sees [px]"] / fields["gap_cnn"]["sees [px]"],
    ">",
    10,
    identity=True,
)

# %% [markdown]
# Three of them end in an average and one logit, so their maps are accounts (T6). In `deep_cnn` a dense layer, with biases and a ReLU, comes after the average:

# %%
missing = {}
for name, model in networks.items():
    cells = explain.grad_cam(model, images, upsample=False)
    size = np.abs(cells).sum((1, 2)) + 1e-6
    missing[name] = float((np.abs(explain.completeness_error(model, images, cells)) / size).max())
print({name: f"{share:.2%} missing" for name, share in missing.items()})

# %%
claim(
    "T10.6",
    "where an average and one logit end the network the map adds up, and in deep_cnn it does not",
    missing["deep_cnn"],
    ">",
    0.02,
    provided=all(share < 2e-4 for name, share in missing.items() if name != "deep_cnn"),
)

# %% [markdown]
# `local_cnn` has no wide cells, and more: it multiplies what its convolutions say by how much darker each pixel is than the 37 px around it. Where nothing is dark, nothing can be booked. (At
# the border the surroundings are smaller; we look at the rest.)

# %%
grey = images.mean(axis=-1)
lighter = grey > ndimage.uniform_filter(grey, (1, 37, 37)) - 0.04 + 1e-4
local = explain.grad_cam(networks["local_cnn"], images, upsample=False)
inner = (slice(None), slice(18, -18), slice(18, -18))
claim(
    "T10.7",
    "in local_cnn a pixel that isn't darker than its surroundings holds no evidence",
    np.abs(local[inner][lighter[inner]]).max(),
    "==",
    0,
    provided=local.any(),
    identity=True,
)

# %% [markdown]
# ## Side by side
#
# Accuracy is one column of several. *Localisation* is the share of the positive evidence that lies within 4 px of the crack; it needs masks, as the synthetic set and image-and-mask
# sets have them. Guessing would give the share of the picture that lies so near: `at random`. The time is the best of three.

# %%
masked = test[(test["label"] == 1) & (test["mask"] != "")].head(60)
if len(masked):
    pictures = cv.data.load_images(masked["path"], image_size)
    masks = cv.data.load_masks(masked["mask"], image_size)
lot = np.random.default_rng(0).random((64, image_size, image_size, 3), np.float32)


def milliseconds(model):
    """Return the time for one patch, in lots of 64."""
    explain.logits(model, lot)
    times = []
    for _ in range(3):
        began = time.perf_counter()
        explain.logits(model, lot)
        times.append(time.perf_counter() - began)
    return min(times) / len(lot) * 1e3


# %%
def figures(name, model):
    """Return a network's row of the table."""
    drawn = cv.evaluation.Bootstrap(test["group"], resamples=200, seed=seed)
    p = cv.evaluation.predict(model, test, image_size)
    scores = cv.evaluation.evaluate(labels, p, bootstrap=drawn)["scores"]
    row = {
        "weights": model.count_params(),
        "MB": (run / "networks" / name / "model.h5").stat().st_size / 1e6,
        "ms per patch": milliseconds(model),
        "epochs": epochs_used[name],
        "accuracy": scores["accuracy"]["value"],
        "low": scores["accuracy"]["low"],
        "high": scores["accuracy"]["high"],
        "F1": scores["f1/crack"]["value"],
        "calibration error": scores["calibration_error"]["value"],
    }
    if len(masked):
        row["evidence near the crack"] = np.nanmean(faith.evidence_near(map_of(model, pictures), masks, distance=4))
    return row


# %%
comparison = pd.DataFrame({name: figures(name, model) for name, model in networks.items()}).T
near = faith.chance_levels(masks)["evidence_4px"] if len(masked) else None
print(f"at random {near:.2f}" if len(masked) else "no masks here: no localisation")
comparison.round(3).astype({"weights": int, "epochs": int})

# %% [markdown]
# How to read it:
#
# - **low** and **high** are the ends of the [95 % interval](../THEORY.md#g-confidence-interval) of the accuracy. Where two intervals overlap widely, nobody has won. And they hold the luck of the test pictures only: another `seed`
#   trains other networks. The comparison that counts, with more pictures, more epochs and several seeds, is `benchmarks/networks.py`.
# - **weights** and **ms per patch** don't grow alike: compare the first row with the last one. A network of many weights needn't take as many times longer, if it shrinks the picture before it lays them over it.
# - **evidence near the crack** needn't follow the accuracy: compare the two columns. Which network would you send up the ladder?
#
# ## TensorBoard
#
# The curves, the graph and the figures of all these trainings lie in `logs/` of the run folder. With `tensorboard = True` the next cell opens them here, in
# JupyterLab. By hand it is two lines: `%load_ext tensorboard`, then `%tensorboard --logdir` and that folder. *Scalars* shows the curves of all networks in one plot, *Graphs* the layers; *Images* what notebook 02
# drew on its way. In a terminal, `tensorboard --logdir runs/lesson/logs` gives an address for the browser.

# %%
if tensorboard:
    import shlex

    from tensorboard import notebook

    notebook.start(f"--logdir {shlex.quote(str(run / 'logs'))}")
else:
    print("not asked for: set tensorboard = True")

# %% [markdown]
# ## Elsewhere
#
# All of this was measured on pictures like those that were learnt from. A wall in another light, photographed from another distance, is another matter. Here is the network that
# comes with crackviz, on what is at hand: the test pictures as they are, and after changes that any site can bring. Folders named in `elsewhere` are added.

# %%
shipped = cv.models.load_pretrained()
size = cv.models.image_size(shipped) or cv.models.metadata(shipped).image_size or 128
fair = test[~cv.models.seen_by_pretrained(test, shipped.name)]
plain = cv.data.load_images(fair["path"], size)


def half(images):
    """Return the images seen from twice as far: half as large, and mirrored to fill the frame."""
    small = ndimage.zoom(images, (1, 0.5, 0.5, 1), order=1)
    wide = np.concatenate([small, small[:, :, ::-1]], axis=2)
    return np.concatenate([wide, wide[:, ::-1]], axis=1)


# %%
noise = np.random.default_rng(seed).normal(0, 0.08, plain.shape).astype(np.float32)
conditions = {
    "as they are": plain,
    "dusk": plain * np.float32(0.4),
    "out of focus": ndimage.gaussian_filter(plain, (0, 2, 2, 0)),
    "grainy": np.clip(plain + noise, 0, 1),
    "from twice as far": half(plain),
}
sets = {name: (fair["label"].to_numpy(), images) for name, images in conditions.items()}
for folder in filter(None, elsewhere.split(";")):
    found = cv.data.scan(cv.data.index(folder.strip(), max_images=500, seed=seed))
    found = found[~cv.models.seen_by_pretrained(found, shipped.name)]
    sets[folder.strip().rsplit("/", 1)[-1]] = found["label"].to_numpy(), cv.data.load_images(found["path"], size)

# %%
shift = {}
for name, (truth, images) in sets.items():
    z = explain.logits(shipped, np.ascontiguousarray(images, np.float32))
    z = z[:, 1] - z[:, 0] if z.ndim == 2 else z
    alarm = z >= np.log(cv.models.metadata(shipped).threshold / (1 - cv.models.metadata(shipped).threshold))
    shift[name] = {
        "pictures": len(truth),
        "cracks found": alarm[truth == 1].mean() if (truth == 1).any() else np.nan,
        "false alarms": alarm[truth == 0].mean() if (truth == 0).any() else np.nan,
        "ROC-AUC": roc_auc_score(truth, z) if len(set(truth)) == 2 else np.nan,
    }
shift = pd.DataFrame(shift).T
shift.round(3).astype({"pictures": int})

# %% [markdown]
# Read the columns against each other. Where cracks are no longer found *and* false alarms vanish, the network has gone quiet: its threshold no longer fits, though [ROC-AUC](../THEORY.md#g-roc-auc) may say that it still knows one
# from the other. Where ROC-AUC falls, it no longer does so well. Nothing in a probability says that its picture comes from elsewhere.
#
# A threshold that has moved can be set right. Label forty of the grainy pictures, of whole photographs, take the threshold that is right most often on them, and judge it on the others. No network is trained for that. Forty pictures of
# a few walls are a small sample, so we draw them fifty times.

# %%
truth, images = sets["grainy"]
z = explain.logits(shipped, np.ascontiguousarray(images, np.float32))
z = z[:, 1] - z[:, 0] if z.ndim == 2 else z
old = np.log(cv.models.metadata(shipped).threshold / (1 - cv.models.metadata(shipped).threshold))
photographs = pd.Categorical(fair["group"]).codes


def right_on_others(draw):
    """Return how often the old threshold, and one set on forty pictures of a draw, is right on the others."""
    shuffled = np.random.default_rng([seed, draw]).permutation(photographs.max() + 1)
    order = np.argsort(shuffled[photographs], kind="stable")  # whole photographs
    labelled, others = order[:40], order[40:]
    ladder = np.sort(z[labelled])
    between = np.concatenate([[ladder[0] - 1], (ladder[1:] + ladder[:-1]) / 2, [ladder[-1] + 1]])
    new = between[np.argmax([((z[labelled] >= cut) == truth[labelled]).mean() for cut in between])]
    return [((z[others] >= cut) == truth[others]).mean() for cut in (old, new)]


# %%
enough = len(truth) >= 100  # forty to label, and others to judge by
right = np.array([right_on_others(draw) for draw in range(50)]) if enough else np.full((50, 2), np.nan)
print(
    "right on the others, mean of fifty draws: {:.1%} with the old threshold, {:.1%} with a new one".format(
        *right.mean(0)
    )
)
print(f"the new one is better in {np.mean(right[:, 1] > right[:, 0]):.0%} of the draws")

# %%
claim(
    "T10.8",
    "on grainy pictures a threshold set on forty labelled ones is right more often on the others, on average over draws",
    (right[:, 1] - right[:, 0]).mean(),
    ">",
    0,
    unless="other pictures shift in other ways, and the lines above say how" if data or not enough else "",
)

# %% [markdown]
# And these are the same network's answers on real pictures, none of which it was trained on or chosen by (intervals of 95 %; from the
# [model card](../crackviz/pretrained/MODEL_CARD.md)):
#
# <!-- answers -->
#
# | pictures | accuracy | accuracy at 0.5 | recall | specificity | ROC-AUC | calibration error |
# |---|---|---|---|---|---|---|
# | METU, grouped test part | 99.65 [99.22, 99.92] % | 99.74 [99.39, 100.00] % | 99.82 [99.44, 100.00] % | 99.48 [98.47, 99.82] % | 1.000 [0.999, 1.000] | 0.46 [0.29, 0.77] % |
# | synthetic concrete, 2,000 patches | 94.45 [93.25, 95.55] % | 95.20 [94.05, 96.25] % | 98.50 [97.70, 99.20] % | 90.40 [88.42, 92.07] % | 0.986 [0.981, 0.991] | 2.61 [2.20, 3.84] % |
# | SDNET2018, walls | 82.37 [79.46, 85.05] % | 83.56 [80.39, 86.18] % | 31.82 [23.28, 38.91] % | 92.53 [91.44, 93.50] % | 0.748 [0.710, 0.780] | 13.33 [10.92, 16.53] % |
# | SDNET2018, walls, asked at 256 px | 83.27 [80.22, 85.91] % | 83.90 [80.39, 86.71] % | 29.25 [23.37, 34.92] % | 94.12 [93.13, 94.98] % | 0.739 [0.704, 0.779] | 12.60 [9.99, 16.16] % |
# | DeepCrack, 300 cracks | | | 95.67 [92.73, 97.45] % | | | |
# | DeepCrack, asked at 256 px | | | 79.33 [74.39, 83.53] % | | | |
# | *no network:* longest dark ridge, every fourth picture of METU | | | | | 0.997 [0.996, 0.999] | |
# | *no network:* longest dark ridge, synthetic concrete, 2,000 patches | | | | | 0.958 [0.947, 0.969] | |
# | *no network:* longest dark ridge, SDNET2018, walls | | | | | 0.760 [0.715, 0.798] | |
# | *no network:* longest dark ridge, SDNET2018, walls, asked at 256 px | | | | | 0.780 [0.732, 0.830] | |
#
# <!-- end of answers -->
#
# METU's test part comes from the walls that it learnt from, and synthetic concrete from the renderer that drew some of its training pictures. SDNET2018 and DeepCrack are other buildings, other cameras, other ideas of what a crack is.
#
# ## To remember
#
# - A network that has seen many pictures needs few of yours.
# - First train the new end alone, then let the rest move, in small steps.
# - Compare networks on the same pictures, with the same rights, over several seeds.
# - The most accurate network needn't be the one whose map can tell where.
# - On another wall the threshold may be wrong although the order is still right.
#
# **Two questions**
#
# <details><summary>Why not fine-tune all layers from the first step on?</summary>
#
# The random end sends large random gradients down, and can undo what the base knew.
#
# </details>
#
# <details><summary>Accuracy on another wall is one half, ROC-AUC 0.95. What helps?</summary>
#
# Another threshold, set by a few labelled pictures from there.
#
# </details>
#
# ## Exercises
#
# ★ is read off, ★★ takes a line or two, ★★★ is written. Put your answer in place of the dots and run the cell: it tells you whether it is right, or what is wrong with it.
#
# **10.1** ★ Which two columns of the comparison would you read first: for a drone with a small battery, and for a report that says where the crack is? Give a set of two names.

# %% tags=["exercise"]
answer = ...
cv.series.exercise("10.1", answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# For the battery the time for a patch, and not the number of weights. For the report the evidence near the crack: a map that can be checked against the wall.
#
# ```python
# answer = {"ms per patch", "evidence near the crack"}
# ```
#
# </details>
#
# **10.2** ★★ Frozen, 1,281 numbers are learnt: one for each of the base's 1,280 channels, and a bias. How many would they be if the new end told five kinds of damage apart, with a logit for each?

# %% tags=["exercise"]
answer = ...
cv.series.exercise("10.2", answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# Five logits, each with 1,280 weights and a bias.
#
# ```python
# answer = 5 * (1280 + 1)
# ```
#
# </details>
#
# **10.3** ★★★ Write `def answer(logits):` for two logits a picture, of shape (pictures, 2), "crack" in the second column. It returns the probability of a crack, computed from the difference of the two.

# %% tags=["exercise"]
answer = ...
cv.series.exercise("10.3", answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# The logistic function of the difference is the softmax.
#
# ```python
# def answer(logits):
#     return 1 / (1 + np.exp(logits[:, 0] - logits[:, 1]))
# ```
#
# </details>
#
# **To go on**, without a check:
#
# 1. Set `first_layer` to `"Conv1"`, and name another `run` folder: all layers learn. What happens to training and validation accuracy with so few pictures?
# 2. Build MobileNetV2 with `weights=None`, and train it like the others. What are ImageNet's pictures worth here?
# 3. Give `n_training` the values 100, 300 and 1,000. Whose accuracy falls least with few pictures?
#
# <details><summary>Solutions</summary>
#
# 1: training accuracy rises, validation accuracy hardly, or falls: more freedom than the pictures can fill (*[overfitting](../THEORY.md#g-overfitting)*). 2: with a few hundred pictures it learns little; it has 400,000 weights and batch normalisation that starts from nothing. 3: the one whose base is given, because it has the least left to learn.
#
# </details>

# %%
cv.series.write_results(
    run,
    "10_transfer_learning",
    {
        "mobilenet_v2: training accuracy": learnt["train"],
        "mobilenet_v2: validation accuracy": learnt["validation"],
        "networks": comparison.round(4).to_dict("index"),
        "shipped network elsewhere": shift.round(4).to_dict("index"),
    },
)
