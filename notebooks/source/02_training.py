# %% [markdown]
# # 02 · Training a small network
#
# Two networks learn to tell cracked concrete from sound: one small enough to count by hand, and a deeper sibling that does better. (Notebook 03 shows that the small one doesn't beat a few grey numbers.) We count
# their weights by hand, watch them learn, stop them in time, and keep the result in a file that anyone can open.
#
# | | |
# |---|---|
# | **You will learn** | what the layers do, what is minimised, how to read the curves, when to stop, how to watch it in TensorBoard, how to save as H5 |
# | **Time** | 30 minutes to read, two and a half minutes to run; longer with more pictures |
# | **Theory** | [T2 Training a small network](../THEORY.md#t2-training-a-small-network) |

# %% tags=["parameters"]
data: str = ""  # folder with pictures; "" is synthetic concrete, made here
crack_class: str = ""  # the folder whose pictures show cracks, where its name doesn't say so
groups: str = ""  # which pictures show one place: "folder:1", a pattern, a CSV file; "" goes by file names
run: str = ""  # run folder, where results are kept; "" is runs/lesson
image_size: int = 128  # side to which pictures are resized [px]
max_images: int = 2000  # pictures used, drawn by whole groups; 0 takes all
epochs: int = 100  # at most so many passes over the training pictures
patience: int = 3  # epochs without a lower validation loss before training stops
batch_size: int = 16  # pictures per step
learning_rate: float = 0.003  # of the deeper network at the start; the small one takes twice as much
decay: float = 0.8  # factor of the learning rate per epoch
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

run = cv.series.open_run(run, "02_training")
table = cv.data.prepare(
    data, run / "split.csv", max_images=max_images, seed=seed, crack_class=crack_class, groups=groups
)
table.groupby("split").size().to_frame("pictures")

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
    "T2.1",
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
# One *[epoch](../THEORY.md#g-epoch)* shows each training picture once, each time changed a little (notebook 01). After each epoch the network
# is tried on the validation pictures, unchanged. If the [loss](../THEORY.md#g-loss) there has found no new minimum for three epochs, training ends and
# the best weights are put back. The steps get smaller with time: large ones get near the minimum fast, small ones come closer to it.
#
# If this cell is interrupted, run it again: it goes on after the last whole epoch and comes to the same end. When it has ended, it
# isn't trained twice; delete the run folder, or name another one, to start anew.

# %%
recipe = cv.training.Recipe(
    epochs=epochs, patience=patience, batch_size=batch_size, learning_rate=learning_rate, decay=decay
)
small_history = cv.training.train(
    small,
    table,
    run / "gap_cnn",
    replace(recipe, learning_rate=2 * learning_rate),
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
# - The validation curve starts high and then comes down smoothly. What is validated isn't the network of the last step but the
#   *mean* of its weights over about half an epoch. Single steps are noisy; their mean is not, and it is the better
#   network.
# - Later it often lies *better* than the training curve. The training pictures are augmented, thus harder, and their figure is
#   the mean over an epoch during which the network was still learning.
# - The dotted line marks the epoch whose weights were kept. What came after was the price of being sure.

# %% [markdown]
# ## The deeper sibling
#
# Four convolutions see farther: 38 pixels instead of 10, enough to tell a line from a pore. The end is the same.

# %%
model = cv.models.build("gap_cnn_deep", image_size, seed=seed)
cv.models.summary(model)

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


drawings = tf.summary.create_file_writer(str(run / "logs" / "gap_cnn_deep" / "samples"))
watching = keras.callbacks.LambdaCallback(
    on_epoch_begin=lambda epoch, logs: watch(0) if epoch == 0 else None,
    on_epoch_end=lambda epoch, logs: watch(epoch + 1),
)

# %%
history = cv.training.train(
    model,
    table,
    run,
    recipe,
    image_size=image_size,
    seed=seed,
    logs=run / "logs" / "gap_cnn_deep",
    callbacks=[watching],
)

# %%
display = cv.plots.HistoryDisplay.from_history(history)
_ = cv.series.save_figure(
    run,
    display.figure_,
    "02_gap_cnn_deep_history",
    alt="Loss and accuracy of the deeper network over the epochs, for training and validation pictures; a dotted line marks the epoch whose weights were kept.",
)

# %% [markdown]
# And the pictures that were drawn on the way; TensorBoard shows them with a slider. Here are four: before the training, after the first epoch, after a few, and after the last. (The network that is kept is that of the dotted line.)

# %%
kept = EventAccumulator(str(run / "logs" / "gap_cnn_deep" / "samples"), {"tensors": 0}).Reload().Tensors("samples")
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
# Each row has a colour bar of its own: mind the numbers. The untrained network's maps hold next to nothing; a frame in them is the padding
# beyond the border, which is nothing that a photograph shows. After one epoch of averaged weights the logits still lie close together. A few epochs on, watch whether the first red appears, and where. In the last row the numbers at the bar
# are the largest; look where the evidence lies, on the crack or on something else that is dark. TensorBoard's slider has the other epochs.
#
# ## Did it stop where it should?

# %%
best = int(history["val_loss"].idxmin()) + 1
print(f"best epoch {best} of {len(history)}")

# %%
claim(
    "T2.2",
    "training ended when its patience was over, or at the epoch limit",
    len(history) - best == patience or len(history) == epochs,
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
    "T2.3",
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
    "T2.4",
    "the network puts cracked above sound pictures more often than the darkest hundredth of the pixels does",
    in_order - dark,
    ">",
    0,
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
    "T2.5",
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
    "T2.6",
    "the H5 file itself names its labels, its image size, its preprocessing and its training data",
    known.class_names == tuple(table.attrs["class_names"])
    and known.image_size == image_size
    and known.preprocessing == cv.data.PREPROCESSING
    and str((table["split"] == "train").sum()) in known.trained_on,
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
        cv.training.train(again, few, place, replace(recipe, epochs=2), image_size=32, seed=seed)
    twice.append(b"".join(weights.tobytes() for weights in again.get_weights()))

# %%
claim("T2.7", "on one machine the same seed trains the same network, bit for bit", twice[0] == twice[1])

# %% [markdown]
# ## TensorBoard
#
# Curves, the network's graph and the sample pictures are also there for TensorBoard, together with `epochs.csv`, which grows while the training
# runs. In JupyterLab, type `%load_ext tensorboard` and `%tensorboard --logdir ../runs/lesson/logs` into a cell of your own; notebook 10 shows how.
#
# ## To remember
#
# - Training makes the loss small, step by step, along its slope.
# - Validation pictures decide when to stop; the best weights are kept.
# - Training loss can go on falling; when validation loss no longer does, learning by heart has begun.
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
# 1. Set `patience = 1`, and name another `run` folder. When does it stop, and what does it cost?
# 2. An untrained network answers about 0.5 to everything. What is its loss, and which curve above starts near it?
# 3. Train with another `seed`. By how much do the best validation losses differ? Is the deeper network still better?
# 4. How many weights would the last layer have if, instead of averaging, all cells of the last map were connected to the logit?
#
# <details><summary>Solutions</summary>
#
# 1: at the first epoch that is worse than its predecessor. As averaged weights are validated, that may be late, and may cost
# little. 2: $\ln 2 = 0.69$; the validation curves: after one epoch the averaged weights have hardly left the start. 4: at 128 px the deeper network has 16 × 16 cells with 64 channels: 16,384
# weights and a bias instead of 65, and it would learn *where in the patch* cracks usually are.
#
# </details>

# %%
cv.series.write_results(
    run,
    "02_training",
    {
        "headlines": ["gap_cnn_deep: validation accuracy"],  # compared first, where many runs are
        "gap_cnn: epochs": len(small_history),
        "gap_cnn: lowest validation loss": float(small_history["val_loss"].min()),
        "gap_cnn_deep: epochs": len(history),
        "gap_cnn_deep: lowest validation loss": float(history["val_loss"].min()),
        "gap_cnn_deep: validation accuracy": float(accuracy),
    },
)
