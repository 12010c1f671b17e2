# %% [markdown]
# # 02 · Training a small network
#
# How does a network learn? First by hand, on a picture of seven by seven pixels. Then two networks learn to tell cracked concrete from sound: one small enough to count by hand, and a deeper sibling. (Notebook 03 holds both against a few grey numbers.) We count
# their weights by hand, watch them learn, stop them in time, and keep the result in a file that anyone can open.
#
# | | |
# |---|---|
# | **You will learn** | how a network learns, what the layers do, what is minimised, how to read the curves, when to stop, how to watch it in TensorBoard, how to save as H5 |
# | **Time** | 45 minutes to read, about three minutes to run; longer with more pictures |
# | **Theory** | [T2 Training a small network](../THEORY.md#t2-training-a-small-network) |

# %% tags=["parameters"]
data: str = ""  # folder with pictures; "" is synthetic concrete, made here
crack_class: str = ""  # the folder whose pictures show cracks, where its name doesn't say so
groups: str = ""  # which pictures show one place: "folder:1", a pattern, a CSV file; "" goes by file names
run: str = ""  # run folder, where results are kept; "" is runs/lesson
image_size: int = 128  # side to which pictures are resized [px]
max_images: int = 4000  # pictures used, drawn by whole groups; 0 takes all
n_small: int = 750  # training pictures that the small network learns from at most, which saves time; 0 takes all
epochs: int = 12  # at most so many passes over the training pictures; fewer, but four, where they are more than 1,500
patience: int = 3  # epochs without a lower validation loss before training stops
batch_size: int = 16  # pictures per step
learning_rate: float = 0.004  # of the deeper network at the start; the small one takes half as much again
decay: float = 0.74  # factor of the learning rate per epoch; with more than 1,500 pictures, per 1,500 of them
n_samples: int = 4  # validation pictures to be watched during the training, half of them cracked
seed: int = 0  # fixes every random choice

# %%
import io
import tempfile
from dataclasses import replace

import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from PIL import Image
from sklearn.metrics import roc_auc_score
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import crackviz as cv
from crackviz.claims import claim
from crackviz.contracts import check_number

run = cv.series.open_run(run, "02_training")
check_number("n_small", n_small, 0, whole=True)
check_number("n_samples", n_samples, 0, whole=True)
recipe = cv.training.Recipe(
    epochs=epochs, patience=patience, batch_size=batch_size, learning_rate=learning_rate, decay=decay
)
table = cv.data.prepare(
    data, run / "split.csv", max_images=max_images, seed=seed, crack_class=crack_class, groups=groups
)
table.groupby("split").size().to_frame("pictures")

# %% [markdown]
# ## How a network learns
#
# This part takes a quarter of an hour, NumPy, and the idea of a derivative. Whoever has trained a network before goes on at "The smallest network".
#
# ### A kernel slides over a picture
#
# A *[convolution](../THEORY.md#g-convolution)* lays a small square of numbers, the *[kernel](../THEORY.md#g-kernel)*, on every place of a picture. There it multiplies number by number, and adds up. Here is a picture of
# seven by seven pixels with a crack and a pore, both dark. The kernel asks of each place: are the pixels left and right brighter than those in the middle?

# %%
tiny = np.full((7, 7), 0.8)  # a bright wall
tiny[:, 3] = 0.2  # a crack, from top to bottom
tiny[1, 5] = 0.2  # a pore
kernel = np.array([[1, -2, 1], [1, -2, 1], [1, -2, 1]]) / 6


def slide(picture, kernel):
    """Return the kernel's answers at all places where it fits into the picture."""
    rows, columns = picture.shape[0] - 2, picture.shape[1] - 2
    found = np.empty((rows, columns))
    for i in range(rows):
        for j in range(columns):
            found[i, j] = (picture[i : i + 3, j : j + 3] * kernel).sum()
    return found


raw = slide(tiny, kernel)

# %% [markdown]
# The weights of the kernel sum to 0, so a plain wall answers 0. Then comes a *[bias](../THEORY.md#g-bias)*, one number that is added everywhere, here −0.1. And then *[ReLU](../THEORY.md#g-relu)*: what is negative becomes 0.

# %%
relu = np.maximum(raw - 0.1, 0)
steps = {"the picture": tiny, "the kernel's answers": raw, "with the bias, after ReLU": relu}
figure, axes = plt.subplots(1, 3, figsize=(11, 4), layout="constrained")
for axis, (title, values) in zip(axes, steps.items(), strict=True):
    axis.imshow(values, cmap="gray", vmin=-0.4, vmax=1)
    for (row, column), value in np.ndenumerate(values):
        shade = "white" if value < 0.25 else "black"
        axis.text(column, row, f"{round(value, 1) + 0.0:.1f}", ha="center", va="center", color=shade, fontsize=11)
    axis.set_title(title, fontsize=13)
    axis.set_axis_off()
_ = cv.series.save_figure(
    run,
    figure,
    "02_slide",
    alt="Three squares of numbers. The picture is bright, with a dark column and one dark pixel. The kernel's answers are largest along the column. With the bias and after ReLU the column stays, the pixel is faint, and all else is 0.",
)

# %% [markdown]
# The kernel has found the crack. It hears the pore, too, but the bias makes it faint. A layer of a network has many kernels, each with a map of answers of its own; the next layer's kernels slide over these maps.
#
# ### Pooling
#
# Where exactly a line lies, to the pixel, matters little for "cracked or not". *[Max-pooling](../THEORY.md#g-max-pooling)* keeps the largest of each two by two answers, and the map is half as high and half as wide:

# %%
four = np.array([[0, 1, 0, 0], [2, 5, 1, 0], [0, 3, 0, 4], [1, 0, 2, 2]])
pooled = np.array([[four[i : i + 2, j : j + 2].max() for j in (0, 2)] for i in (0, 2)])
print(four, "becomes", pooled, sep="\n")

# %% [markdown]
# ### Downhill
#
# Nobody writes the kernels. They begin as random numbers, and are changed until the answers are right. What is "right" needs a number: the *[loss](../THEORY.md#g-loss)*. It is small if cracked patches get a large logit, and sound ones a low one.
#
# Take one weight, $w$, and four patches, each boiled down to one number $x$: how much line was found, less what is usual. The logit is $w x$. For a crack ($s = 1$) the loss is $\ln(1 + e^{-wx})$, for a sound patch ($s = -1$) it is $\ln(1 + e^{wx})$.

# %%
x = np.array([0.9, 0.5, -0.4, 0.3])  # the last one is sound, and has a joint that looks like a crack
s = np.array([1, 1, -1, -1])


def loss(w):
    """Return the mean loss of the four patches at a weight, or at each of several."""
    return np.logaddexp(0, -s * np.multiply.outer(w, x)).mean(axis=-1)


def slope(w):
    """Return the derivative of the loss at a weight."""
    return (-s * x / (1 + np.exp(s * w * x))).mean()


rate = 8.0  # the learning rate: how large a step a slope of 1 makes
way = [-1.0]
for _ in range(3):
    way.append(way[-1] - rate * slope(way[-1]))  # against the slope, so downhill
print("weights", np.round(way, 2), "losses", loss(way).round(3))

# %%
line = np.linspace(-2, 6, 200)
figure, axis = plt.subplots(figsize=(8, 4.2), layout="constrained")
axis.plot(line, loss(line), color="black", linewidth=2, label="loss")
near = np.array([-1.9, 0.6])
axis.plot(near, loss(way[0]) + slope(way[0]) * (near - way[0]), color=cv.plots.COLORS[3], label="slope at the start")
axis.plot(way, loss(way), "o-", color=cv.plots.COLORS[0], markersize=9, label="three steps downhill")
axis.set_xlabel("weight", fontsize=12)
axis.set_ylabel("loss [nats]", fontsize=12)
axis.legend(fontsize=11, frameon=False)
_ = cv.series.save_figure(
    run,
    figure,
    "02_downhill",
    alt="The loss over one weight, a curve with one lowest point. A straight line touches it at the start; dots mark the start and three steps, each lower than the one before.",
)

# %% [markdown]
# The steps get shorter by themselves, because the slope gets flatter. This is *[gradient descent](../THEORY.md#g-gradient-descent)*. With a million weights it is the same: each is moved against its own slope. (Adam, which trains the networks below, gives each weight a step size of its own besides.)
#
# ### The chain rule
#
# A network is a chain: pixels, kernel, ReLU, average, logit, loss. The *chain rule* says that the slope of the whole chain is the product of the slopes of its links, so it can be handed back from the loss to each weight, link by link; that is *[backpropagation](../THEORY.md#g-backpropagation)*.
#
# TensorFlow's *tape* does that: it records the links on the way forward, and multiplies their slopes on the way back. Do we believe it? There is a slower way that needs no theory: change one weight a little, and see how the loss changes. We ask for the nine weights of the kernel.


# %%
def chain(kernel):
    """Return the loss of the small picture, which is cracked: kernel, bias, ReLU, average, logit, loss."""
    return np.logaddexp(0, -(8 * np.maximum(slide(tiny, kernel) - 0.1, 0).mean() - 1))


nine = tf.Variable(kernel[:, :, np.newaxis, np.newaxis])
with tf.GradientTape() as tape:
    found = tf.nn.conv2d(tiny[np.newaxis, :, :, np.newaxis], nine, strides=1, padding="VALID")
    cost = tf.nn.softplus(-(8 * tf.reduce_mean(tf.nn.relu(found - 0.1)) - 1))
by_tape = tape.gradient(cost, nine).numpy()[:, :, 0, 0]

by_trial = np.empty((3, 3))
for place in np.ndindex(3, 3):
    little = np.zeros((3, 3))
    little[place] = 1e-6
    by_trial[place] = (chain(kernel + little) - chain(kernel - little)) / 2e-6
print(by_tape.round(4))

# %%
claim(
    "T2.1",
    "the tape's slope of the loss is what a little change of each weight gives",
    np.abs(by_tape - by_trial).max() / np.abs(by_tape).max(),
    "<",
    1e-5,
    identity=True,
)

# %% [markdown]
# All slopes are negative here: the loss falls if any of the nine weights rises. It falls most slowly for the middle column, where the pixels are dark. That is how a kernel learns what a crack looks like: the dark middle falls behind.

# %% [markdown]
# ## The smallest network
#
# Two [convolutions](../THEORY.md#g-convolution), each followed by [ReLU](../THEORY.md#g-relu) and [max-pooling](../THEORY.md#g-max-pooling), then the average of every map, then one weighted sum. Read the
# table from above: the maps get smaller and more numerous, until *[global average pooling](../THEORY.md#g-global-average-pooling)* leaves one number for each.

# %%
small = cv.models.build("gap_cnn", image_size, seed=seed)
cv.models.summary(small)

# %% [markdown]
# How many [weights](../THEORY.md#g-weight) are that? A filter of 3 × 3 pixels that reads $m$ [channels](../THEORY.md#g-channel) has $9m$ weights and one bias.

# %%
by_hand = 16 * (3 * 9 + 1) + 32 * (16 * 9 + 1) + (32 + 1)
print(by_hand)

# %%
claim(
    "T2.2",
    "gap_cnn has 5,121 weights, counted by hand",
    small.count_params(),
    "==",
    5121,
    provided=by_hand == 5121,
    identity=True,
)

# %% [markdown]
# That is about as much as a thumbnail of 72 × 72 pixels holds. And since everything after the convolutions is an average, the number
# doesn't depend on the size of the image.
#
# The output is called `probability`, the layer before it `logit`. Keeping them apart costs nothing and makes the network explainable
# later on.
#
# ## Training it
#
# One *[epoch](../THEORY.md#g-epoch)* shows each training picture once, each time changed a little (notebook 01): flipped, made a little lighter or darker, with more contrast or less. It isn't turned or zoomed here: that takes time, and with thousands of pictures it brought nothing. After each epoch the network
# is tried on the validation pictures, unchanged. If the [loss](../THEORY.md#g-loss) there has found no new minimum for three epochs, training ends and
# the best weights are put back. It ends after `epochs` passes in any case. The steps get smaller with time: large ones get near the minimum fast, small ones come closer to it. Passes and decay are both set for a number of pictures: with four times as many pictures a quarter of the passes is enough.
#
# If this cell is interrupted, run it again: it goes on after the last whole epoch and comes to the same end. When it has ended, it
# isn't trained twice; delete the run folder, or name another one, to start anew.


# %%
recipe = replace(recipe, augment={"rotation": 0, "zoom": 0})
n_train = int((table["split"] == "train").sum())
small_recipe = replace(recipe, learning_rate=1.5 * learning_rate, max_images=n_small).paced(n_train)
small_history = cv.training.train(
    small,
    table,
    run / "gap_cnn",
    small_recipe,
    image_size=image_size,
    seed=seed,
    logs=run / "logs" / "gap_cnn",
)

# %%
display = cv.plots.HistoryDisplay.from_history(small_history)
_ = cv.series.save_figure(
    run,
    display.figure_,
    "02_gap_cnn_history",
    alt="Loss and accuracy of the small network over the epochs, for training and validation pictures; a dotted line marks the epoch whose weights were kept.",
)

# %% [markdown]
# Three things to see:
#
# - The validation curve needn't start where the other does. What is validated isn't the network of the last step but the
#   *mean* of its weights over about half an epoch. Single steps are noisy; their mean is not, and it is the better
#   network.
# - Later its loss is often the *lower* of the two. The training pictures are augmented, thus harder, and their figure is
#   the mean over an epoch during which the network was still learning.
# - The dotted line marks the epoch whose weights were kept. What came after, if anything did, was the price of being sure.

# %% [markdown]
# ## The deeper sibling
#
# Five convolutions see farther: 58 pixels instead of 10, enough to tell a line from a pore. The end is the same.
#
# The beginning is not. All concrete is a light grey, and to a network one patch looks much like the next. So the first layer, `scale`, moves the zero to that grey and makes everything four times as large, $4x - 2.2$ of a pixel $x$: now
# what differs is large. It learns nothing, and is meant to let the five that follow learn sooner.

# %%
model = cv.models.build("gap_cnn_far", image_size, seed=seed)
cv.models.summary(model)

# %% [markdown]
# And it gets help: *[batch normalisation](../THEORY.md#g-batch-normalisation)*, `normalise=True` below. Before each ReLU, every map is shifted and scaled to mean 0 and deviation 1 over the pictures of the step. Then two numbers that are learnt scale and shift it once more.
# So no filter falls silent at the start, and none is much louder than the others. After the training all this goes into the kernels: the network that is kept has the layers above, and no others. The end of this notebook shows how.

# %% [markdown]
# This time we look over its shoulder. Before the training and after each epoch, a few validation pictures are drawn with their heat maps
# (notebook 06 derives them): what does the network look at while it learns?

# %%
validation = table[table["split"] == "validation"]
walls = validation.sample(frac=1, random_state=seed).drop_duplicates("group")  # a wall each
watched = walls.groupby("label").head(max(1, n_samples // 2)).sort_values("label", ascending=False)
samples = cv.data.load_images(watched["path"], image_size)


def watch(step):
    """Draw the samples with their heat maps, and hand the drawing to TensorBoard."""
    maps = cv.attribution.grad_cam(model, samples)
    figure = cv.plots.AttributionDisplay.from_maps(samples, maps, logits=cv.attribution.logits(model, samples)).figure_
    figure.set_dpi(80)
    figure.canvas.draw()
    with drawings.as_default():
        tf.summary.image("samples", np.asarray(figure.canvas.buffer_rgba())[None, ..., :3], step=step)
    drawings.flush()
    plt.close(figure)


drawings = tf.summary.create_file_writer(str(run / "logs" / "gap_cnn_far" / "samples"))
watching = keras.callbacks.LambdaCallback(
    on_epoch_begin=lambda epoch, logs: watch(0) if epoch == 0 else None,
    on_epoch_end=lambda epoch, logs: watch(epoch + 1),
)

# %%
recipe = replace(recipe, normalise=True).paced(n_train)
history = cv.training.train(
    model,
    table,
    run,
    recipe,
    image_size=image_size,
    seed=seed,
    logs=run / "logs" / "gap_cnn_far",
    callbacks=[watching],
)

# %%
display = cv.plots.HistoryDisplay.from_history(history)
_ = cv.series.save_figure(
    run,
    display.figure_,
    "02_gap_cnn_far_history",
    alt="Loss and accuracy of the deeper network over the epochs, for training and validation pictures; a dotted line marks the epoch whose weights were kept.",
)

# %% [markdown]
# And the pictures that were drawn on the way; TensorBoard shows them with a slider. Here are four: before the training, after the first epoch, after a few, and after the last. (The network that is kept is that of the dotted line.)

# %%
kept = EventAccumulator(str(run / "logs" / "gap_cnn_far" / "samples"), {"tensors": 0}).Reload().Tensors("samples")
between = kept[min(4, len(kept) // 2)]
shown = {"untrained": kept[0], "after the first epoch": kept[1]}
shown |= {f"after epoch {event.step}": event for event in (between, kept[-1])}
figure, axes = plt.subplots(len(shown), figsize=(9, 4.3 * len(shown)), layout="constrained")
for axis, (title, event) in zip(axes, shown.items(), strict=True):
    axis.imshow(Image.open(io.BytesIO(event.tensor_proto.string_val[2])))
    axis.set_title(title, fontsize=15, loc="left")
    axis.set_axis_off()
_ = cv.series.save_figure(
    run,
    figure,
    "02_samples",
    alt="The same few validation patches and their heat maps at four moments of the training: untrained, after the first epoch, after a few more, and after the last.",
)

# %% [markdown]
# Each row has a colour bar of its own: mind the numbers. The untrained network's maps hold next to nothing. Follow the numbers at the bars, and the logits above the patches, from row to row: how much does the network say, and how far apart are cracked and sound? Where does the first red
# appear? In the last row, look where the evidence lies, on the crack or on something else that is dark, and whether a sound patch has any. TensorBoard's slider has the other epochs.
#
# ## Did it stop where it should?

# %%
best = int(history["val_loss"].idxmin()) + 1
print(f"best epoch {best} of {len(history)}")

# %%
claim(
    "T2.3",
    "training ended when its patience was over, or at the epoch limit",
    len(history) - best == patience or len(history) == recipe.epochs,
    identity=True,
)

# %% [markdown]
# Are the weights in our hands really those of the best epoch? We measure their loss on the validation pictures ourselves, by the
# formula, and compare it with the smallest number of the curve.

# %%
label = validation["label"].to_numpy()
pictures = cv.data.load_images(validation["path"], image_size)
logit = cv.attribution.logits(model, pictures).astype(np.float64)
loss = np.logaddexp(0, np.where(label == 1, -logit, logit)).mean()  # -ln p, or -ln(1 - p), without overflow
print(f"measured {loss:.4f}, smallest of the curve {history['val_loss'].min():.4f}")

# %%
claim(
    "T2.4",
    "the weights kept are those of the lowest validation loss",
    abs(loss - history["val_loss"].min()),
    "<",
    1e-3,
    identity=True,
)

# %% [markdown]
# And has it learnt anything? The dullest network always gives the commoner answer. With few cracks among many sound pictures its
# [accuracy](../THEORY.md#g-accuracy) is high, so accuracy isn't the test. This is: take one cracked and one sound picture; which gets the higher score? A coin puts every
# second pair in order. The rival to beat is the rule of notebook 01, how dark the darkest hundredth of the pixels is.

# %%
accuracy = np.mean((logit >= 0) == label)
dullest = max(label.mean(), 1 - label.mean())
in_order = roc_auc_score(label, logit)
print(
    f"accuracy {accuracy:.3f}, always the commoner answer {dullest:.3f}; pairs in order {in_order:.3f}, by chance 0.5"
)

# %%
dark = roc_auc_score(label, -np.quantile(pictures.mean(axis=-1), 0.01, axis=(1, 2)))
claim(
    "T2.5",
    "the network puts cracked above sound pictures more often than the darkest hundredth of the pixels does",
    in_order - dark,
    ">",
    0,
    unless=f"dark pixels alone put {dark:.1%} of the pairs in order, and leave hardly any to beat them in"
    if dark > 0.99
    else "",
)

# %% [markdown]
# ## Keeping it
#
# The run folder now holds the network twice. `model.keras` is Keras' own format; `model.h5` is a plain HDF5 file that many programs can
# read. They must say the same.

# %%
some = pictures[:32]
answers = [cv.models.load(run / name).predict(some, verbose=0) for name in ("model.keras", "model.h5")]
for name in ("model.keras", "model.h5"):
    print(f"{name:12} {(run / name).stat().st_size / 1024:6.0f} KiB")

# %%
claim(
    "T2.6",
    "both files, read again, give the same probabilities",
    max(np.abs(answer - model.predict(some, verbose=0)).max() for answer in answers),
    "<=",
    1e-6,
    identity=True,
)

# %% [markdown]
# A file of weights alone is a riddle: does 1 mean crack, or sound? How large must the pictures be? From which probability on did they call it a
# crack? Such things get lost, so they are kept inside the file, and checked when it is loaded.

# %%
known = cv.models.read_metadata(run / "model.h5")
known

# %%
claim(
    "T2.7",
    "the H5 file itself names its labels, its image size, its preprocessing and its training data",
    known.class_names == tuple(table.attrs["class_names"])
    and known.image_size == image_size
    and known.preprocessing == cv.data.PREPROCESSING
    and str((table["split"] == "train").sum()) in known.trained_on,
    identity=True,
)

# %% [markdown]
# ## Where did the normalisation go?
#
# Outside the training there is no step whose pictures could give a mean. So after each epoch the mean $\mu$ and the deviation $\sigma$ of each map are measured on some hundred training pictures, and stand still. Normalising then only subtracts a number and divides by one, and a convolution can do that itself. With $\gamma$ and $\beta$ for the two learnt numbers, and $s = \gamma / \sigma$, the kernel becomes $sK$
# and the bias $s(b - \mu) + \beta$. We try it on the first layer, with numbers drawn at random. (T2.4 has tried the whole network: the curve is that of the normalised network, and the loss that we measured is that of the folded one.)

# %%
first = model.get_layer("conv1")
kernels, bias = first.get_weights()
rng = np.random.default_rng(seed)
mean, deviation, gamma, beta = rng.uniform(0.5, 2, (4, len(bias))).astype(np.float32)
looked_at = model.get_layer("scale")(samples)


def maps(kernel, bias):
    """Return what the first layer gives before its ReLU, in steps of two pixels."""
    return tf.nn.conv2d(looked_at, kernel, strides=first.strides, padding="SAME") + bias


normalised = gamma * (maps(kernels, bias) - mean) / deviation + beta
folded = maps(kernels * gamma / deviation, (bias - mean) * gamma / deviation + beta)

# %%
claim(
    "T2.8",
    "folded into the kernel and the bias, a normalisation gives the same maps",
    float(np.abs(folded - normalised).max()),
    "<",
    1e-4,
    identity=True,
)

# %% [markdown]
# One thing more belongs to a training that others can check: it must come out the same when it is done again. We train the small network twice on a few pictures, and compare its weights bit for bit.

# %%
few = table.groupby(["split", "label"]).head(16)
twice = []
for _ in range(2):
    with tempfile.TemporaryDirectory() as place:
        again = cv.models.build("gap_cnn", 32, seed=seed)
        cv.training.train(again, few, place, replace(small_recipe, epochs=2), image_size=32, seed=seed)
    twice.append(b"".join(weights.tobytes() for weights in again.get_weights()))

# %%
claim("T2.9", "on one machine the same seed trains the same network, bit for bit", twice[0] == twice[1])

# %% [markdown]
# ## TensorBoard
#
# Curves, the network's graph and the sample pictures are also there for TensorBoard, together with `epochs.csv`, which grows while the training
# runs. In JupyterLab, type `%load_ext tensorboard` and `%tensorboard --logdir ../runs/lesson/logs` into a cell of your own; notebook 10 shows how.
#
# ## To remember
#
# - Training makes the loss small, step by step, against its slope, which the chain rule gives. Batch normalisation helps, and is part of the kernels afterwards.
# - Validation pictures decide when to stop; the best weights are kept.
# - Training loss can go on falling; when validation loss rises meanwhile, learning by heart has begun.
# - One seed fixes order, augmentation and first weights: the same run again gives the same network.
# - The saved file holds the whole network, its labels and its image size.
#
# **Two questions**
#
# <details><summary>The training loss falls and the validation loss rises. What happens?</summary>
#
# The network begins to learn its training pictures by heart.
#
# </details>
#
# <details><summary>What is the loss of a network that answers 0.5 to everything?</summary>
#
# The logarithm of 2, about 0.69.
#
# </details>
#
# ## Exercises
#
# ★ is read off, ★★ takes a line or two, ★★★ is written. Put your answer in place of the dots and run the cell: it tells you whether it is right, or what is wrong with it.
#
# **02.1** ★ An untrained network answers 0.5 to everything. What is its loss in nats, to two digits? And which curve above starts near it?

# %% tags=["exercise"]
answer = ...
cv.series.exercise("02.1", answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# $\ln 2 = 0.69$. Look at the first points of the small network's curves: after one epoch a network has often hardly left its start, and least of all its averaged weights, which are validated.
#
# ```python
# answer = np.log(2)
# ```
#
# </details>
#
# **02.2** ★ How many numbers would the last layer of the deeper network have at 128 px if each cell of its last map, 16 × 16 cells with 64 channels, were connected to the logit, instead of the averages? Count the bias, too.

# %% tags=["exercise"]
answer = ...
cv.series.exercise("02.2", answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# 16 · 16 · 64 weights and a bias, instead of 65. And it would learn *where in the patch* cracks usually are.
#
# ```python
# answer = 16 * 16 * 64 + 1
# ```
#
# </details>
#
# **02.3** ★★ Take the kernel that answers to *horizontal* dark lines, the one above turned by a quarter, and slide it over `tiny`. Give the map before ReLU.

# %% tags=["exercise"]
answer = ...
cv.series.exercise("02.3", answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# On a vertical line its positive and negative weights cancel. What is left is the pore, which is a short line in every direction.
#
# ```python
# answer = slide(tiny, kernel.T)
# ```
#
# </details>
#
# **02.4** ★★★ Write `def answer(values):` that does max-pooling: of an array with even sides, the largest of each two by two values.

# %% tags=["exercise"]
answer = ...
cv.series.exercise("02.4", answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# As with the mean of notebook 01, but with the largest.
#
# ```python
# def answer(values):
#     rows, columns = values.shape
#     return values.reshape(rows // 2, 2, columns // 2, 2).max(axis=(1, 3))
# ```
#
# </details>
#
# **02.5** ★★★ The loss over one weight was $\frac{1}{N} \sum \ln(1 + e^{-s_n w x_n})$, with $s_n = 1$ for a crack and $-1$ for sound. Write `def answer(x, s):` that returns its slope at $w = 0$.

# %% tags=["exercise"]
answer = ...
cv.series.exercise("02.5", answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# The derivative of a term is $-s_n x_n / (1 + e^{s_n w x_n})$, which is $-s_n x_n / 2$ at $w = 0$.
#
# ```python
# def answer(x, s):
#     return -(s * x).mean() / 2
# ```
#
# </details>
#
# **To go on**, without a check:
#
# 1. Set `patience = 1`, and name another `run` folder. When does the training stop, and what does it cost?
# 2. Train with another `seed`. By how much do the lowest validation losses differ? Is the deeper network still better?
#
# <details><summary>Solutions</summary>
#
# 1: at the first epoch that is worse than its predecessor. As averaged weights are validated, that may be late, and may cost little. 2: compare the difference of the seeds with that of the networks.
#
# </details>

# %%
cv.series.write_results(
    run,
    "02_training",
    {
        "headlines": ["gap_cnn_far: validation accuracy"],  # compared first, where many runs are
        "gap_cnn: epochs": len(small_history),
        "gap_cnn: lowest validation loss": float(small_history["val_loss"].min()),
        "gap_cnn_far: epochs": len(history),
        "gap_cnn_far: lowest validation loss": float(history["val_loss"].min()),
        "gap_cnn_far: validation accuracy": float(accuracy),
    },
)
