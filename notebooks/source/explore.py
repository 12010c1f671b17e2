# %% [markdown]
# # Explore: move a slider, and see
#
# What does a threshold do, and what does a layer? Here you try it, on the pictures of the lesson or on your own. Run all cells, or open this as a page, without the code: `make app`.
#
# Each figure is drawn anew when you let a slider go. Nothing is stored.

# %% tags=["parameters"]
data: str = ""  # folder with pictures; "" is synthetic concrete, made here
crack_class: str = ""  # the folder whose pictures show cracks, where its name doesn't say so
groups: str = ""  # which pictures show one place: "folder:1", a pattern, a CSV file; "" goes by file names
run: str = ""  # run folder, where results are kept; "" is runs/lesson
network: str = ""  # a trained network: a file, a run folder, or the name of a shipped one; "" takes the run's
image_size: int = 128  # side to which pictures are resized [px]
max_images: int = 4000  # pictures used, drawn by whole groups; 0 takes all
n_images: int = 300  # of the unseen ones, so many are asked about
seed: int = 0  # fixes every random choice

# %%
import io
import tempfile
from pathlib import Path

import ipywidgets as widgets
import matplotlib.pyplot as plt
import numpy as np
from IPython.display import display
from scipy import ndimage
from sklearn.metrics import ConfusionMatrixDisplay, confusion_matrix

import crackviz as cv
from crackviz.contracts import check_number

check_number("n_images", n_images, 2, whole=True)
run = cv.series.open_run(run)
net = cv.models.find(run, network=network)
model = net.load()
image_size = cv.models.size_for(model, image_size)
table = cv.data.prepare(
    data, run / "split.csv", max_images=max_images, seed=seed, crack_class=crack_class, groups=groups
)
asked = cv.training.unseen(net, table).sample(frac=1, random_state=seed).head(n_images)
labels = asked["label"].to_numpy()
probabilities = cv.evaluation.predict(model, asked, image_size)
print(net.origin)
print(f"{len(asked)} pictures that it hasn't seen, {labels.sum()} of them cracked")


# %%
def shown(figure):
    """Return a figure as the bytes of a picture, for a widget."""
    place = io.BytesIO()
    figure.savefig(place, format="png", dpi=90)
    plt.close(figure)
    return place.getvalue()


# %%
def slider(kind, name, value, low, high, step, **more):
    """Return a slider that acts when it is let go."""
    return kind(
        value=value,
        min=low,
        max=high,
        step=step,
        description=name,
        continuous_update=False,
        style={"description_width": "10em"},
        layout={"width": "27em"},
        **more,
    )


# %%
def together(controls, draw):
    """Show controls beside a picture that `draw` makes of their values, and draw it anew on every change."""
    picture = widgets.Image(
        format="png", layout={"max_width": "100%", "max_height": "60vh", "align_self": "flex-start"}
    )
    told = widgets.HTML()

    def update(change=None):
        try:
            picture.value, told.value = shown(draw()), ""
        except cv.CrackvizError as error:  # such as a method that a network doesn't allow
            told.value = f"<b>{error}</b>"

    for control in controls:
        control.observe(update, "value")
    update()
    display(widgets.VBox([widgets.HBox(controls, layout={"flex_flow": "row wrap"}), told, picture]))
    return picture


# %% [markdown]
# ## One threshold
#
# From which probability on is it an alarm? Left, what that means for the pictures asked here. Right, what a thousand patches of a wall would cost, at every threshold: the prevalence says how many of them are cracked.

# %%
threshold = slider(widgets.FloatSlider, "threshold", 0.5, 0.01, 0.99, 0.01)
prevalence = slider(widgets.FloatLogSlider, "share cracked", 0.01, -3, -0.31, 0.05, readout_format=".3f")
cost = slider(widgets.IntSlider, "cost of missing one", 20, 1, 100, 1)


def cost_of(cuts):
    """Return the cost of a thousand patches of the wall at each of several thresholds, in false alarms."""
    missed = (probabilities[labels == 1] < np.atleast_1d(cuts)[:, np.newaxis]).mean(axis=1)
    alarmed = (probabilities[labels == 0] >= np.atleast_1d(cuts)[:, np.newaxis]).mean(axis=1)
    return 1000 * (prevalence.value * missed * cost.value + (1 - prevalence.value) * alarmed)


def draw_threshold():
    """Draw the confusion matrix and the cost."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained", width_ratios=[1, 1.6])
    counts = confusion_matrix(labels, probabilities >= threshold.value, labels=[0, 1])
    names = [name.replace("_", " ") for name in table.attrs["class_names"]]
    ConfusionMatrixDisplay(counts, display_labels=names).plot(
        ax=left, cmap="Blues", colorbar=False, text_kw={"fontsize": 18}
    )
    cuts = np.linspace(0.01, 0.99, 99)
    right.plot(cuts, cost_of(cuts), color="black")
    right.plot(threshold.value, cost_of(threshold.value), "o", color=cv.plots.COLORS[3], markersize=11)
    (tn, fp), (fn, tp) = counts
    recall, alarms = tp / max(tp + fn, 1), fp / max(fp + tn, 1)
    right_ones = recall * prevalence.value
    precision = right_ones / max(right_ones + alarms * (1 - prevalence.value), 1e-12)
    figure.suptitle(f"on the wall {precision:.0%} of the alarms are right; {recall:.0%} of the cracks are found")
    right.set(xlabel="threshold", ylim=(0, None))
    right.set_ylabel(f"cost of 1000 patches,\na miss at {cost.value} [false alarms]")
    return figure


threshold_picture = together([threshold, prevalence, cost], draw_threshold)

# %% [markdown]
# ## One map
#
# Choose a picture, a method, and for the CAM family a layer. Smoothing blurs the map for the eye; it doesn't change what the network did. The title says whether the threshold above makes it an alarm.
#
# With *Upload* you add pictures of your own: patches cut from a photograph, not the whole of it. They stay on this machine.

# %%
chosen = cv.evaluation.examples(asked, cv.evaluation.log_odds(probabilities), 8)
pictures = dict(
    zip(
        [f"{n}: {why}" for n, why in enumerate(chosen["why"], 1)],
        cv.data.load_images(chosen["path"], image_size),
        strict=True,
    )
)
ladder = cv.attribution.ladder(model)
layers = [name for name in ladder.index if ladder.loc[name, "kind"] == "Conv2D"]
layers = {f"{name}, a cell is {ladder.loc[name, 'stride']:.0f} px": name for name in layers}
methods = {method.title: name for name, method in cv.attribution.METHODS.items() if name not in ("rise", "lime")}

# %%
own = {"style": {"description_width": "10em"}, "layout": {"width": "27em"}}
which = widgets.Dropdown(options=list(pictures), description="picture", **own)
method = widgets.Dropdown(options=methods, value="grad_cam", description="method", **own)
layer = widgets.Dropdown(options={"the method's own": None} | layers, description="layer", **own)
smoothing = slider(widgets.FloatSlider, "smoothing [px]", 0, 0, 8, 0.5)
upload = widgets.FileUpload(accept="image/*", multiple=True, description="Upload")


# %%
def draw_map():
    """Draw a picture and its map."""
    image = pictures[which.value][np.newaxis]
    asks = cv.attribution.METHODS[method.value]
    at = {"layer": layer.value} if layer.value and asks.kind == "cam" else {}
    values = ndimage.gaussian_filter(asks(model, image, **at), (0, smoothing.value, smoothing.value))
    logit = float(cv.attribution.logits(model, image)[0])
    answer = 1 / (1 + np.exp(-logit))
    word = "alarm" if answer >= threshold.value else "no alarm"
    drawn = cv.plots.AttributionGridDisplay.from_maps(image, {asks.title: values}, label="strength")
    drawn.figure_.set_size_inches(9, 5.2)
    drawn.figure_.suptitle(f"{word}: P(crack) = {answer:.3f}, logit {logit:+.1f}")
    return drawn.figure_


def add(change):
    """Read uploaded pictures, and choose the last of them."""
    with tempfile.TemporaryDirectory() as place:
        for file in change["new"]:
            path = Path(place) / Path(file["name"]).name
            path.write_bytes(file["content"])
            try:
                pictures[f"yours: {path.name}"] = cv.data.load_images([str(path)], image_size)[0]
            except cv.CrackvizError as error:
                said.value = f"<b>{error}</b>"
                continue
            which.options = list(pictures)
            which.value = f"yours: {path.name}"
            said.value = ""


said = widgets.HTML()
upload.observe(add, "value")
display(widgets.HBox([upload, said]))
map_picture = together([which, method, layer, smoothing, threshold], draw_map)

# %% [markdown]
# ## What to try
#
# - Which threshold is the cheapest if a missed crack costs as much as a hundred false alarms? And which if cracks are rare?
# - Climb down the layers with Grad-CAM. When does the map stop following the crack?
# - Compare *darkness*, which knows no network, with Grad-CAM on the mistake.
# - Take a photograph of a pencil line on paper. Does the network call it a crack, and what does the map show?
