# %% [markdown]
# # 03 · Evaluation
#
# How good is the network, on pictures that it has never seen? One number won't do. This notebook asks which mistakes it makes,
# how sure it is of them, what they would cost on a real wall, how far the figures themselves can be trusted, and how to tell whether another
# model is better.
#
# | | |
# |---|---|
# | **You will learn** | confusion matrix, precision and recall, ROC and PR curves, intervals, calibration, thresholds by cost and by prevalence, comparing two models |
# | **Time** | two halves of 25 minutes to read, about a minute to run |
# | **Theory** | [T3 Evaluation](../THEORY.md#t3-evaluation) |

# %% tags=["parameters"]
data: str = ""  # folder with pictures; "" is synthetic concrete, made here
crack_class: str = ""  # the folder whose pictures show cracks, where its name doesn't say so
groups: str = ""  # which pictures show one place: "folder:1", a pattern, a CSV file; "" goes by file names
run: str = ""  # run folder, where results are kept; "" is runs/lesson
network: str = ""  # a trained network: a file, a run folder, or the name of a shipped one; "" takes the run's
image_size: int = 128  # side to which pictures are resized [px]
max_images: int = 4000  # pictures used, drawn by whole groups; 0 takes all
threshold: float = 0.5  # "crack" from this probability on
wanted_recall: float = 0.95  # share of the cracks that must be found, for a threshold that finds it
prevalence: float = 0.01  # share of cracked patches on a real wall
cost_of_missing: float = 20.0  # price of a missed crack, with a false alarm as 1
seed: int = 0  # fixes every random choice

# %%
from collections.abc import Callable
from math import comb
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn import metrics
from sklearn.calibration import CalibrationDisplay
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import crackviz as cv
from crackviz.claims import claim
from crackviz.contracts import check_number

run = cv.series.open_run(run, "03_evaluation")
for name, value in {"threshold": threshold, "wanted_recall": wanted_recall, "prevalence": prevalence}.items():
    check_number(name, value, 0, 1, inclusive=False)
check_number("cost_of_missing", cost_of_missing, 0, inclusive=False)
net = cv.models.find(run, network=network)
model = net.load()
image_size = cv.models.size_for(model, image_size)
table = cv.data.prepare(
    data, run / "split.csv", max_images=max_images, seed=seed, crack_class=crack_class, groups=groups
)

# %%
test = cv.training.unseen(net, table)
print(net.origin)
print(f"{len(test):,} of {(table['split'] == 'test').sum():,} test pictures are new to it")

# %% [markdown]
# The test pictures are used here for the first time. Nothing was decided by them, and that is the whole of their worth: whoever goes
# back after seeing these figures, changes the network and measures again has turned them into validation pictures.

# %%
labels = test["label"].to_numpy()
groups = test["group"]
names = list(table.attrs["class_names"])
probabilities = cv.evaluation.predict(model, test, image_size)
predicted = (probabilities >= threshold).astype(int)
print(f"{len(test):,} test pictures, {labels.sum():,} of them cracked, in {groups.nunique():,} groups")

# %% [markdown]
# ## Four counts

# %%
figure, axis = plt.subplots(figsize=(5, 4.2), layout="constrained")
metrics.ConfusionMatrixDisplay.from_predictions(
    labels,
    predicted,
    display_labels=[name.replace("_", " ") for name in names],
    cmap="Blues",
    colorbar=False,
    text_kw={"fontsize": 18},
    ax=axis,
)
_ = cv.series.save_figure(
    run,
    figure,
    "03_confusion_matrix",
    alt="A table of two by two counts: the truth in rows, the network's answer in columns.",
)

# %% [markdown]
# Rows are the truth, columns the answer: this is the *[confusion matrix](../THEORY.md#g-confusion-matrix)*. Everything that follows for one threshold comes from these four numbers, [F1](../THEORY.md#g-f1) included. Top right are the false alarms, bottom left the missed
# cracks.

# %%
(tn, fp), (fn, tp) = metrics.confusion_matrix(labels, predicted, labels=[0, 1])
accuracy = (tp + tn) / len(labels)
precision = tp / (tp + fp) if tp + fp else np.nan  # without an alarm there is none to be right
recall = tp / (tp + fn)
f1 = 2 * tp / (2 * tp + fp + fn)
print(f"accuracy {accuracy:.4f}   precision {precision:.4f}   recall {recall:.4f}   F1 {f1:.4f}")

# %%
witnesses = cv.evaluation.Bootstrap(groups, seed=seed)  # whole groups are drawn for the intervals: see below
result = cv.evaluation.evaluate(labels, probabilities, class_names=names, threshold=threshold, bootstrap=witnesses)
cv.evaluation.class_report(result)

# %%
names_of_scores = ["accuracy", f"precision/{names[1]}", f"recall/{names[1]}", f"f1/{names[1]}"]
library = np.array([result["scores"][name]["value"] for name in names_of_scores], float)
claim(
    "T3.1",
    "accuracy, precision, recall and F1 follow from the four counts",
    np.nan_to_num(np.abs(library - [accuracy, precision, recall, f1])).max(),
    "<",
    1e-9,
    provided=np.array_equal(np.isnan(library), np.isnan([accuracy, precision, recall, f1])),
    identity=True,
)

# %% [markdown]
# ## All thresholds at once
#
# The threshold of 0.5 is a habit. The *ROC curve* shows what every other one would give: how many cracks are found, against how
# many sound patches raise an alarm. The *precision-recall curve* asks how many of the alarms are right.

# %%
figure, axes = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
metrics.RocCurveDisplay.from_predictions(labels, probabilities, ax=axes[0], name="network", plot_chance_level=True)
metrics.PrecisionRecallDisplay.from_predictions(labels, probabilities, ax=axes[1], name="network")
axes[0].set(xlabel="false alarms among sound patches", ylabel="recall: cracks found")
axes[1].set(xlabel="recall: cracks found", ylabel="precision: alarms that are right")
for axis in axes:
    axis.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    axis.lines[0].set_linewidth(3)
    axis.xaxis.label.set_size(12)
    axis.yaxis.label.set_size(12)
_ = cv.series.save_figure(
    run,
    figure,
    "03_curves",
    alt="Left the ROC curve, cracks found against false alarms, with the diagonal of guessing; right the precision-recall curve.",
)

# %% [markdown]
# The better the network, the nearer the left curve comes to the upper left corner, and the right one to the upper right. The area under the first has a meaning that isn't geometrical: pick one
# cracked and one sound picture at random; how often does the cracked one get the higher score? We can simply count all pairs.

# %%
cracked, sound = probabilities[labels == 1], probabilities[labels == 0]
higher = (cracked[:, None] > sound).mean() + 0.5 * (cracked[:, None] == sound).mean()
print(f"{higher:.5f} of {cracked.size * sound.size:,} pairs are in order")

# %%
claim(
    "T3.2",
    "ROC-AUC is the share of crack and no-crack pairs that are in order",
    abs(higher - result["scores"]["roc_auc"]["value"]),
    "<",
    1e-6,
    identity=True,
)

# %%
lower = cv.evaluation.evaluate(
    labels,
    probabilities,
    class_names=names,
    threshold=threshold / 2,
    bootstrap=cv.evaluation.Bootstrap(resamples=0),
)
recall_of = [r["scores"][f"recall/{names[1]}"]["value"] for r in (result, lower)]
claim("T3.3", "half the threshold doesn't lower the recall", recall_of[1] - recall_of[0], ">=", 0, identity=True)

# %% [markdown]
# ## How sure are the figures?
#
# Had we drawn other test pictures, the figures would be others. By how much? Draw from the ones we have, with replacement, a thousand
# times, and look at the spread. Whole groups are drawn: ten copies of one picture are one witness, not ten.

# %%
report = cv.evaluation.report(result)
display = cv.plots.ScoresDisplay.from_report(report.drop(index=["log_loss", "brier", "calibration_error"]))
_ = cv.series.save_figure(
    run,
    display.figure_,
    "03_scores",
    alt="Each score of the network as a dot with a bar for its 95 % interval.",
)
report.round(4)

# %% [markdown]
# What would more pictures of the same kind bring? We pretend to have four times as many: each is copied three times, and the copies are
# given groups of their own, so that the [bootstrap](../THEORY.md#g-bootstrap) takes them for new witnesses. It is the very mistake warned of above, made on purpose,
# because four times the pictures aren't at hand.

# %%
fourfold = cv.evaluation.evaluate(
    np.tile(labels, 4),
    np.tile(probabilities, 4),
    class_names=names,
    bootstrap=cv.evaluation.Bootstrap([f"{group}/{copy}" for copy in range(4) for group in groups], seed=seed),
)
widths = [brier["high"] - brier["low"] for brier in (cv.evaluation.report(r).loc["brier"] for r in (result, fourfold))]
print(f"width of the Brier score's interval: {widths[0]:.4f}; with four times the pictures {widths[1]:.4f}")

# %%
if result["groups"] < 5:
    print(f"{len(labels)} pictures in {result['groups']} groups: too few to draw from, so there are no intervals")
else:
    claim(
        "T3.4",
        "with four times the pictures the Brier score's interval is about half as wide",
        widths[1] / widths[0],
        "within",
        (0.35, 0.65),
    )

# %% [markdown]
# Half the width for four times the work: the first digits of a figure are cheap, the next ones costly.
#
# There is one thing that no bootstrap can imagine: a mistake that it hasn't seen. With none in $N$ pictures every draw has none, and the interval is a point. The *rule of three* helps: the error rate may still
# be as high as $3/N$. Here it is beside the exact bound, the rate at which no mistake in $N$ would be a chance of one in twenty.

# %%
sizes = np.array([60, 300, 1000])
exact = 1 - 0.05 ** (1 / sizes)
pd.DataFrame({"pictures": sizes, "rule of three": 3 / sizes, "exact": exact}).round(4)

# %%
claim(
    "T3.5",
    "from sixty pictures on the rule of three is within 3 % of the exact bound",
    np.abs(3 / sizes / exact - 1).max(),
    "<",
    0.03,
    identity=True,
)

# %% [markdown]
# ---
#
# **Half-way.** Here is a good place to stop for today. You can now say how often the network is right, which mistakes it makes, and how sure those figures are. The second half asks what its probabilities are worth, which threshold a wall needs, and whether a simpler
# model would do. Nothing is lost meanwhile: run the notebook again, and go on here.
#
# ---

# %% [markdown]
# ## Are the probabilities right?
#
# If the network says 80 % to a hundred patches, eighty of them should be cracked. Large networks are often too sure: in training it pays to push the
# pictures that are already right ever further out, and nobody stops it from overdoing that. A small one that was stopped early, with averaged weights, may not be sure enough. The simplest cure divides all logits by one number, the
# *temperature*, before the [sigmoid](../THEORY.md#g-sigmoid). Above 1 it draws the probabilities towards one half, below 1 away from it.
#
# It is a weight like any other, so it must not be fitted on the test pictures. The validation pictures do it, as far as they are new to the network.

# %%
validation = table[table["split"] == "validation"]
new = table[(table["split"] == "validation") & ~cv.training.seen(net, table)]
validation = new if new["label"].nunique() == 2 else validation
validation_labels = validation["label"].to_numpy()
validation_logits = cv.evaluation.log_odds(cv.evaluation.predict(model, validation, image_size))
fitted = cv.evaluation.fit_temperature(validation_labels, validation_logits)
print(f"{len(validation)} validation pictures: log loss {fitted.before:.4f} at temperature 1")
print(f"{fitted.after:.4f} at temperature {fitted.value:.2f}. {fitted.note}")
if not fitted.note:
    little = fitted.before - fitted.after < 0.01  # nats a picture: less than a hundredth is next to nothing
    words = "about as sure as it should be" if little else "too sure" if fitted.value > 1 else "not sure enough"
    print(f"This network was {words} of its answers.")

# %%
tried = np.geomspace(*cv.evaluation.TEMPERATURES, 300)
losses = [
    metrics.log_loss(validation_labels, cv.evaluation.apply_temperature(validation_logits, value)) for value in tried
]
claim(
    "T3.6",
    "no other temperature has a lower loss on the validation pictures",
    fitted.after - min(losses),
    "<=",
    1e-6,
    identity=True,
)

# %% [markdown]
# If every validation picture is in its class, lower is always better, down to the lowest temperature that is allowed. Such a temperature says that there
# were too few mistakes to learn from, not that the network may be surer; the note above says so, and we leave the probabilities as they are.

# %%
temperature = 1.0 if fitted.note else fitted.value
scaled = cv.evaluation.apply_temperature(cv.evaluation.log_odds(probabilities), temperature)
after = cv.evaluation.evaluate(labels, scaled, class_names=names, threshold=threshold, bootstrap=witnesses)
shown = ["calibration_error", "log_loss", "brier", "roc_auc", "accuracy"]
pd.concat(
    {"before": report.loc[shown], f"after, T = {temperature:.2f}": cv.evaluation.report(after).loc[shown]}, axis=1
).round(4)

# %%
claim(
    "T3.7",
    "a temperature changes neither the order of the pictures nor the answers at 0.5",
    abs(after["scores"]["roc_auc"]["value"] - result["scores"]["roc_auc"]["value"]),
    "<",
    1e-4,
    provided=np.array_equal(scaled >= 0.5, probabilities >= 0.5),
    identity=True,
)

# %% [markdown]
# So it can't repair mistakes, only how sure the network is of them. In the next figure the points should lie on the diagonal. The bars below say for how many pictures
# each point stands. A point that stands for few may lie off the line by chance, or because its pictures share a wall. The same holds for the
# *[calibration](../THEORY.md#g-calibration) error*: on a few hundred pictures it never comes near 0, even for perfect probabilities. Drawing the pictures anew makes it larger still, so its interval may even lie above its value. The log loss and the Brier score tell more.

# %%
figure, axes = plt.subplots(2, 1, figsize=(8, 7.2), height_ratios=[3, 1.3], sharex=True, layout="constrained")
edges, blue, orange = np.linspace(0, 1, 11), *cv.plots.COLORS[:2]
kinds = {
    "as stated": (probabilities, -0.021, {"marker": "o", "linestyle": "-", "color": blue}),
    f"at temperature {temperature:.2f}": (scaled, 0.021, {"marker": "s", "linestyle": "--", "color": orange}),
}
for name, (stated, side, look) in kinds.items():
    CalibrationDisplay.from_predictions(labels, stated, n_bins=10, ax=axes[0], name=name, markersize=9, **look)
    count = np.histogram(stated, edges)[0]
    bars = axes[1].bar(edges[:-1] + 0.05 + side, count, width=0.042, color=look["color"])
    axes[1].bar_label(bars, labels=[str(n) if n else "" for n in count], fontsize=9)
axes[0].get_legend().remove()
figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, fontsize=11)
axes[0].set(xlabel="", xlim=(-0.02, 1.02), ylim=(-0.03, 1.03))
axes[0].set_ylabel("share that is cracked", fontsize=12)
axes[1].set(yscale="log", ylim=(0.8, 4 * len(labels)))
axes[1].set_xlabel("probability of crack", fontsize=12)
axes[1].set_ylabel("pictures", fontsize=12)
_ = cv.series.save_figure(
    run,
    figure,
    "03_calibration",
    alt="Above, the share of patches that are cracked against the probability that was stated, before and after the temperature, with the diagonal of perfect calibration; below, how many pictures each point stands for.",
)

# %% [markdown]
# ## What a threshold costs
#
# A missed crack and a false alarm aren't equally costly. Say missing one costs twenty times as much. Then an alarm pays off where the odds of a crack are
# better than one to twenty: from a probability of 1 / (1 + 20) on, if the probabilities are right.
#
# The other way asks no probability to be right: try all thresholds on the validation pictures and take the cheapest. Either way the test pictures only judge.

# %%
options = {"cost_of_missing": cost_of_missing}
on_validation = cv.evaluation.cost_curve(
    validation_labels, cv.evaluation.apply_temperature(validation_logits, temperature), **options
)
on_test = cv.evaluation.cost_curve(labels, scaled, **options)
by_formula = cv.evaluation.threshold_by_cost(cost_of_missing)
tried_out = min(on_validation.loc[on_validation["cost"].idxmin(), "threshold"], 1.0)

# %%
figure, axis = plt.subplots(figsize=(9, 4.4), layout="constrained")
axis.plot(on_validation["threshold"].clip(upper=1), on_validation["cost"], color="0.6", drawstyle="steps-post")
axis.plot(on_test["threshold"].clip(upper=1), on_test["cost"], color="black", linewidth=2, drawstyle="steps-post")
axis.axvline(threshold, color=cv.plots.COLORS[0], linestyle="--")
axis.axvline(by_formula, color=cv.plots.COLORS[2], linestyle="-.")
axis.axvline(tried_out, color=cv.plots.COLORS[1], linestyle=":", linewidth=2.5)
axis.set(
    xscale="log", xlim=(1e-3, 1), ylim=(0, 2 * on_test["cost"].median() + 0.1)
)  # the dear end of the curve would flatten the rest
axis.set_xlabel("threshold", fontsize=12)
axis.set_ylabel("cost a patch [false alarms]", fontsize=12)
lines = ["validation", "test", f"habit: {threshold:.2f}", f"formula: {by_formula:.3f}", f"tried out: {tried_out:.3f}"]
figure.legend(axis.lines, lines, loc="outside upper center", ncols=5, fontsize=11)
_ = cv.series.save_figure(
    run,
    figure,
    "03_cost",
    alt="The cost of a patch against the threshold, on validation and on test pictures, with vertical lines at three thresholds: habit, formula and trial.",
)

# %% [markdown]
# The axis is logarithmic, since the cheap thresholds are low where a miss is costly. The costly end of the curve is cut off at the top. Each step of a curve is one picture, so don't make much of small gaps. A large one between formula and trial says that the
# probabilities aren't right, or that there were few pictures to try on.
#
# Often nobody can name a price, but there is a duty: so many of the cracks must be found. Then the highest threshold that does it on the
# validation pictures is the one that raises the fewest false alarms.

# %%
validation_scaled = cv.evaluation.apply_temperature(validation_logits, temperature)
by_duty = cv.evaluation.threshold_for(validation_labels, validation_scaled, recall=wanted_recall)
found_there = [np.mean(validation_scaled[validation_labels == 1] >= t) for t in (by_duty, np.nextafter(by_duty, 2))]
print(f"threshold {by_duty:.4f}: recall {found_there[0]:.3f} on validation pictures, ", end="")
print(f"{np.mean(scaled[labels == 1] >= by_duty):.3f} on test pictures, where ", end="")
print(f"{np.mean(scaled[labels == 0] >= by_duty):.3f} of the sound ones raise an alarm")

# %%
claim(
    "T3.8",
    "the threshold for a recall finds that share of the validation cracks, and no higher threshold does",
    found_there[0],
    ">=",
    wanted_recall - 1e-9,
    provided=found_there[1] < wanted_recall - 1e-9,
    identity=True,
)

# %% [markdown]
# On the test pictures it may be off by several points, the more the fewer the groups: compare the two numbers. Where the duty is strict, ask for more than it.
#
# ## A wall isn't a test set
#
# In a test set cracked pictures are common, often every second one. On a wall it is perhaps one patch in a hundred. The network doesn't
# change, but what an alarm is *worth* does: there are now so many more sound patches to be wrong about.

# %%
shares = [0.5, 0.2, 0.1, 0.05, 0.02, prevalence]
promised = cv.evaluation.precision_at(labels, probabilities, shares, threshold=threshold, bootstrap=witnesses)
promised.rename_axis("share that is cracked").rename(columns={"value": "alarms that are right"}).round(3)

# %%
weight = np.where(labels == 1, prevalence / labels.mean(), (1 - prevalence) / (1 - labels.mean()))
weighted = metrics.precision_score(labels, predicted, sample_weight=weight, zero_division=np.nan)
claim(
    "T3.9",
    "weighting the pictures to a wall's prevalence gives the formula's precision",
    np.nan_to_num(abs(weighted - promised["value"].iloc[-1])),
    "<",
    1e-9,
    provided=np.isnan(weighted) == np.isnan(promised["value"].iloc[-1]),
    identity=True,
)

# %% [markdown]
# Two test sets that we make up show what that means. The first has a hundred pictures of each class, and one mistake in each. The second has three hundred of each, and none.

# %%
made_up = {}
for size, mistakes in ((100, 1), (300, 0)):
    truth = np.repeat([0, 1], size)
    answers = truth.astype(float)
    answers[:mistakes], answers[size : size + mistakes] = 1, 0
    made_up[size] = cv.evaluation.precision_at(truth, answers, [0.01]).iloc[0]
pd.DataFrame(made_up).T.rename_axis("pictures of each class, one in a hundred cracked").round(3)

# %%
claim(
    "T3.10",
    "with one mistake in a hundred of each class, every second alarm on a wall is false",
    made_up[100]["value"],
    "within",
    (0.499, 0.501),
    identity=True,
)

# %%
claim(
    "T3.11",
    "three hundred pictures of each class without a mistake don't promise that half of the alarms on a wall are right",
    made_up[300]["low"],
    "<",
    0.5,
    provided=made_up[300]["value"] == 1,
    identity=True,
)

# %% [markdown]
# Look at the intervals. At one in a hundred, [precision](../THEORY.md#g-precision) hangs on the false-alarm rate, and a rate of, say, one in two hundred is measured on a
# handful of alarms, or on none at all. **A test set without a single false alarm still doesn't promise that alarms on a wall are right.** It takes many hundreds of sound
# patches to promise that; they are cheap, since no crack has to be found for them.

# %%
dense = np.geomspace(min(1e-3, prevalence), 0.5, 100)
curve = cv.evaluation.precision_at(labels, probabilities, dense, threshold=threshold, bootstrap=witnesses)
figure, axis = plt.subplots(figsize=(9, 4.4), layout="constrained")
axis.fill_between(dense, curve["low"], curve["high"], color=cv.plots.COLORS[0], alpha=0.25, label="95 % interval")
axis.plot(dense, curve["value"], color=cv.plots.COLORS[0], linewidth=3, label="precision")
axis.axvline(prevalence, color="0.3", linestyle=":", linewidth=2, label=f"a wall: {prevalence:g}")
axis.axvline(labels.mean(), color="0.3", linestyle="--", label=f"these test pictures: {labels.mean():.2f}")
axis.set(xscale="log", ylim=(-0.02, 1.02))
axis.set_xlabel("share of patches that is cracked", fontsize=12)
axis.set_ylabel("alarms that are right", fontsize=12)
axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
figure.legend(loc="outside upper center", ncols=4, fontsize=11)
_ = cv.series.save_figure(
    run,
    figure,
    "03_prevalence",
    alt="The share of alarms that are right against the share of patches that are cracked, with a band for its interval, and lines at a wall's share and at that of the test pictures.",
)

# %% [markdown]
# The probabilities don't hold on the wall either. They were learnt where cracks are common, so before a wall's patch is looked at they expect too much. Bayes' rule puts that
# right: divide the odds by those of the training pictures, multiply them by those of the wall. One can correct each probability, or, once for all, the threshold.

# %%
learnt = 0.5 if net.shipped else table.loc[table["split"] == "train", "label"].mean()  # the shipped: half and half
on_wall = cv.evaluation.correct_prior(scaled, learnt, prevalence)
corrected = cv.evaluation.threshold_by_cost(cost_of_missing, learnt=learnt, actual=prevalence)
print(
    f"a patch with probability 0.9 here has {cv.evaluation.correct_prior([0.9], learnt, prevalence)[0]:.3f} on the wall"
)
print(f"alarm from {by_formula:.3f} on, of the corrected probability; from {corrected:.3f} on, of the network's own")

# %%
claim(
    "T3.12",
    "correcting the probabilities and correcting the threshold raise the same alarms",
    np.sum((on_wall >= by_formula) != (scaled >= corrected)),
    "==",
    0,
    identity=True,
)

# %% [markdown]
# What does each threshold cost on the wall? A thousand patches of it, going by the rates of the test pictures:

# %%
wall = {}
rules = {"habit": threshold, "formula, as if here": by_formula, "formula, for the wall": corrected, "never": np.inf}
for name, t in rules.items():
    missed, alarmed = np.mean(scaled[labels == 1] < t), np.mean(scaled[labels == 0] >= t)
    counts = 1000 * np.array([prevalence * (1 - missed), prevalence * missed, (1 - prevalence) * alarmed])
    wall[name] = [t, *counts, cost_of_missing * counts[1] + counts[2]]
columns = ["threshold", "cracks found", "cracks missed", "false alarms", "cost of 1000 patches"]
wall = pd.DataFrame.from_dict(wall, orient="index", columns=columns)
price = wall["cost of 1000 patches"]
gap, each = price["formula, for the wall"] - price["habit"], 1000 * (1 - prevalence) / max(np.sum(labels == 0), 1)
print(f"on these pictures the formula for the wall is {'dearer' if gap > 0 else 'no dearer'} than the habit;")
print(f"{abs(gap) / each:.1f} false alarms among the {np.sum(labels == 0)} sound test pictures weigh as much")
wall.round({"threshold": 3} | dict.fromkeys(columns[1:], 1))

# %% [markdown]
# Compare the habit with the formula for the wall. The formula is the best rule only if the probabilities are right, and ones that a few hundred pictures repaired are not right in their last per cents, which a
# wall asks for. The second line above says how many alarms among these test pictures the difference is worth: if it is a few, another draw of pictures may turn the order round. A rule that costs more than never looking is no rule for a wall. Where cracks are rare, every alarm is doubtful. There are three ways out.
# The first is a better network. The second is another look at each alarm, by a person or on a closer photograph. The third is to ask about the *wall* instead of the patch: a crack runs through many patches, a pore or a stain through one. (A joint runs through many, too.)
#
# ## The mistakes
#
# The twelve largest surprises, the surest mistake first. Framed ones are mistakes; the others are the nearest to one. This is the most useful
# quarter of an hour in the whole series: every mistake is either a lesson about the network or a wrong label.


# %%
def short(path: str) -> str:
    return "/".join(Path(path).parts[-2:])


wrong = cv.evaluation.mistakes(test, probabilities, class_names=names, threshold=threshold)
print(f"{len(wrong)} mistakes among {len(test):,} pictures")
wrong.assign(path=wrong["path"].map(short))[["path", "truth", "predicted", "confidence"]].head(12).round(4)

# %%
right_first = np.where(test.index.isin(wrong.index), 0, 1)
gallery = np.lexsort((-np.abs(probabilities - labels), right_first))[:12]
display = cv.plots.ImagesDisplay.from_images(
    cv.data.load_images(test["path"].iloc[gallery], image_size),
    titles=[
        f"{Path(test['path'].iloc[i]).name}\nis {names[labels[i]].replace('_', ' ')}\nP(crack) = {probabilities[i]:.3f}"
        f"{'' if right_first[i] else '  wrong'}"
        for i in gallery
    ],
    frames=[None if right_first[i] else cv.plots.COLORS[3] for i in gallery],
)
_ = cv.series.save_figure(
    run,
    display.figure_,
    "03_worst",
    alt="Twelve patches, the surest mistakes first; above each stand the truth and the probability of a crack, and mistakes are framed.",
)

# %% [markdown]
# ## Do you need a network?
#
# Before a network is praised, hold it against something simple. The first rival is a logistic regression on six numbers a picture: how dark its darkest hundredth and twentieth are, its median, its spread,
# and how steep its steps are, in the mean and in the steepest hundredth. It learns from the training pictures, two thousand at most.


# %%
def ask(measure: Callable[[np.ndarray], np.ndarray], part: pd.DataFrame) -> np.ndarray:
    """Measure pictures, a few hundred at a time."""
    starts = range(0, len(part), 256)
    return np.concatenate(
        [measure(cv.data.load_images(part["path"].iloc[start : start + 256], image_size)) for start in starts]
    )


known = cv.data.subset(table[table["split"] == "train"], 2000, seed=seed)
greys = ask(cv.evaluation.grey_numbers, known)
simple = make_pipeline(StandardScaler(), LogisticRegression()).fit(greys, known["label"])
others = {"six numbers": simple.predict_proba(ask(cv.evaluation.grey_numbers, test))[:, 1]}

# %% [markdown]
# The second rival knows what a crack is: a *line*. Blur the picture a little, and ask each pixel how sharply the brightness rises to both sides of it (the larger eigenvalue of the Hessian). Keep the sharpest twentieth. How far
# does the longest piece reach that hangs together? This one number learns nothing at all; only how it becomes a probability is fitted.

# %%
reach = ask(cv.evaluation.ridge_extent, test)[:, np.newaxis]
line = LogisticRegression(C=1e6).fit(ask(cv.evaluation.ridge_extent, known)[:, np.newaxis], known["label"])
others["longest dark ridge"] = line.predict_proba(reach)[:, 1]

# %%
if len(set(labels)) == 2:
    area = metrics.roc_auc_score(labels, reach)
    print(f"ROC-AUC of the ridge {area:.3f}, of the network {result['scores']['roc_auc']['value']:.3f}")

# %%
if len(set(labels)) == 2:
    claim(
        "T3.13",
        "on the default set the longest dark ridge, no network, puts nine of ten pairs of cracked and sound in order",
        area,
        ">",
        0.9,
        unless="other pictures have other cracks, and the line above says how it does on them" if data else "",
    )

# %% [markdown]
# If notebook 02 has run, its small, two-layer network joins in. It has learnt from fewer pictures than the deeper one, so what lies between them isn't the layers alone.

# %%
if (run / "gap_cnn" / "model.keras").is_file():
    small = cv.models.load(run / "gap_cnn", image_size=image_size)
    cv.training.check_trained_on(run / "gap_cnn", table)
    others["gap_cnn"] = cv.evaluation.predict(small, test, image_size)
results = {
    name: cv.evaluation.evaluate(labels, p, class_names=names, threshold=threshold, bootstrap=witnesses)
    for name, p in others.items()
}
shown = ["accuracy", *[f"f1/{name}" for name in names], "roc_auc", "average_precision"]
tables = {model.name: report.loc[shown]} | {name: cv.evaluation.report(r).loc[shown] for name, r in results.items()}
display = cv.plots.ScoresDisplay.from_report(tables)
_ = cv.series.save_figure(
    run,
    display.figure_,
    "03_models",
    alt="The scores of several models side by side, each as a marker with a bar for its interval.",
)

# %% [markdown]
# Intervals that keep clear of each other settle the matter. Overlapping ones don't prove the opposite: the models met the
# same pictures, so the sharper question is on which pictures they disagree, and who is right there.

# %%
compared = {
    name: cv.evaluation.compare(labels, predicted, p >= threshold, bootstrap=witnesses) for name, p in others.items()
}
counts = ["both_right", "only_first", "only_second", "both_wrong", "p_value"]
pd.DataFrame(
    [{key: c[key] for key in counts} for c in compared.values()], index=[f"{model.name} and {n}" for n in compared]
)

# %% [markdown]
# **McNemar's test.** Pictures that both get right, or both wrong, tell nothing about who is better. Take those that one alone gets right. If the models were equally good, each of
# these would have fallen to either side like a coin. How rarely do that many coins fall at least so unevenly?

# %%
one = compared["six numbers"]
apart, fewer = one["only_first"] + one["only_second"], min(one["only_first"], one["only_second"])
coins = min(1, 2 * sum(comb(apart, i) for i in range(fewer + 1)) / 2**apart)
print(f"{apart} pictures tell the two apart; so uneven, or more, in {coins:.3g} of all throws")

# %%
claim(
    "T3.14",
    "McNemar's p-value is that of a fair coin, counted by hand",
    abs(one["p_value"] - coins),
    "<",
    1e-9,
    identity=True,
)

# %%
second = others["six numbers"] >= threshold
alike = (predicted == labels) == (second == labels)
more = np.concatenate([np.arange(len(labels)), np.flatnonzero(alike)])
again = cv.evaluation.compare(
    labels[more], predicted[more], second[more], bootstrap=cv.evaluation.Bootstrap(resamples=0)
)
claim(
    "T3.15",
    "pictures that both models get right, or both wrong, don't change McNemar's p-value",
    again["p_value"] - one["p_value"],
    "==",
    0,
    provided=again["pictures"] > one["pictures"],
    identity=True,
)

# %% [markdown]
# The coin has a flaw: it takes every picture for a witness of its own. Patches of one wall fall together, so the p-value is too small wherever there are fewer groups than
# pictures. The bootstrap over whole groups knows about that. Its interval of the *difference* in accuracy is the one to believe; if it holds 0, the difference may be chance.

# %%
for name, c in compared.items():
    difference = pd.Series(c["difference"], dtype=float)  # without an interval: NaN
    print(
        f"{model.name} less {name}: {difference['value']:+.3f}, from {difference['low']:+.3f} to {difference['high']:+.3f}"
    )
print(f"{one['pictures']} pictures in {one['groups']} groups")
for name in ("six numbers", "longest dark ridge"):
    gain = {key: np.nan if end is None else end for key, end in compared[name]["difference"].items()}
    chance = not (gain["low"] > 0 or gain["high"] < 0)  # also where there are too few groups for an interval
    verdict = "no more than chance may give" if chance else "more than chance gives"
    print(f"a network in place of the {name}: {100 * gain['value']:+.1f} points of accuracy, {verdict}")

# %%
other = "other pictures, fewer of them, or another network may tell otherwise: the lines above say what they tell"
claim(
    "T3.16",
    "on the default set the network is right more often than six grey numbers",
    compared["six numbers"]["difference"]["value"],
    ">",
    0,
    unless=other if data or network or len(table) < cv.synthetic.Settings().patches else "",
)

# %% [markdown]
# Read the last lines twice. Where they say that the network's lead over six grey numbers, or over a single one, may be chance, then on *these* pictures nobody has shown that a network is needed, however good its accuracy looked at the
# top of this notebook. What a network may still be worth is another question: more pictures, harder walls, and a map that says where, which six numbers of a whole picture can't give. Plain darkness and edges can, and a network should beat them there as well (notebook 08). On real walls with hairlines
# the ridge and the shipped network are about equal: README's table of answers holds both, with intervals.
#
# And a difference that isn't chance may still not matter. The test says *whether*, the difference says *how much*; only the second is a reason to change a network.
#
# ## To remember
#
# - Accuracy alone hides which mistakes are made.
# - Precision depends on how many walls are cracked; recall doesn't.
# - A score without an interval is half a score, and the interval is drawn over photographs.
# - Probabilities may put the pictures in the right order and still be too sure: look at calibration.
# - The best threshold depends on what mistakes cost, and on the prevalence.
#
# **Two questions**
#
# <details><summary>One wall in a hundred is cracked, recall is 1, and 1 % of sound walls raise an alarm. How many alarms are right?</summary>
#
# About half: one true alarm for one false alarm.
#
# </details>
#
# <details><summary>40 test pictures, no mistake. Is the network perfect?</summary>
#
# Its error rate may still be as high as 3/40 = 7.5 %.
#
# </details>
#
# ## Exercises
#
# ★ is read off, ★★ takes a line or two, ★★★ is written. Put your answer in place of the dots and run the cell: it tells you whether it is right, or what is wrong with it.
#
# **03.1** ★ A colleague tests on 40 pictures without a mistake and writes "100 % accuracy". How high may the error rate still be, by the rule of three? Give a share.

# %% tags=["exercise"]
answer = ...
cv.series.exercise("03.1", answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# "No mistake in 40; the error rate may be as high as 3/40 = 7.5 %."
#
# ```python
# answer = 3 / 40
# ```
#
# </details>
#
# **03.2** ★ Somebody divides all logits by 0.1. Is the network then `"too sure"` or `"not sure enough"`, if its probabilities were right before?

# %% tags=["exercise"]
answer = ...
cv.series.exercise("03.2", answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# The probabilities crowd at 0 and 1, and the points lie flatter than the diagonal: too sure. Accuracy at 0.5 is the same; the log loss punishes the sure mistakes.
#
# ```python
# answer = "too sure"
# ```
#
# </details>
#
# **03.3** ★★ Two models disagree on 8 pictures, and one of them is right on 7. What is McNemar's p-value? Change the line of the coins above.

# %% tags=["exercise"]
answer = ...
cv.series.exercise("03.3", answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# $2 (1 + 8) / 2^8 = 0.07$: it may be chance. With 70 of 80 it isn't, by far.
#
# ```python
# answer = 2 * sum(comb(8, i) for i in range(2)) / 2**8
# ```
#
# </details>
#
# **03.4** ★★ Suppose only one patch in a thousand is cracked on the wall. Correct the probabilities `scaled` for that.

# %% tags=["exercise"]
answer = ...
cv.series.exercise("03.4", answer, of=(scaled, learnt))

# %% [markdown]
# <details><summary>Solution</summary>
#
# `correct_prior` takes the share in training and the share on the wall. Nearly all probabilities fall.
#
# ```python
# answer = cv.evaluation.correct_prior(scaled, learnt, 0.001)
# ```
#
# </details>
#
# **03.5** ★★ How many sound patches without a false alarm must you test, to promise that every second alarm is right where one patch in a hundred is cracked? The [recall](../THEORY.md#g-recall) is 1; use the rule of three.

# %% tags=["exercise"]
answer = ...
cv.series.exercise("03.5", answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# The false-alarm rate must be below $\pi / (1 - \pi) = 1/99$; by the rule of three, which looks at one side only, that takes $3 \cdot 99 \approx 300$. By the two-sided interval used above, which counts the recall as uncertain as well, it takes more.
#
# ```python
# answer = 3 * 99
# ```
#
# </details>
#
# **03.6** ★★★ Write `def answer(recall, false_alarms, share):` for three arrays of one length. It returns the precision where that share of the patches is cracked.

# %% tags=["exercise"]
answer = ...
cv.series.exercise("03.6", answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# Alarms that are right, over all alarms.
#
# ```python
# def answer(recall, false_alarms, share):
#     right = recall * share
#     return right / (right + false_alarms * (1 - share))
# ```
#
# </details>
#
# **To go on**, without a check:
#
# 1. Set `prevalence = 0.001`. How many alarms are right? What threshold would bring that to one half?
# 2. Replace the bootstrap over groups by one over pictures (`witnesses = cv.evaluation.Bootstrap(seed=seed)`). Which interval is wider, and why?
#
# <details><summary>Solutions</summary>
#
# 1: read the table's last row; then raise the threshold until $f < r \pi / (1 - \pi)$. 2: that over groups, wherever twins share their fate.
#
# </details>

# %%
results = {model.name: result} | results
first = ("accuracy", "recall/crack", "precision/crack", "roc_auc", "calibration_error")
cv.series.write_results(
    run,
    "03_evaluation",
    {
        "headlines": [f"scores.{name}" for name in first],  # compared first, where many runs are
        "model": net.origin,
        "scores": result["scores"],
        "prevalence": prevalence,
        "temperature": temperature,
        "after temperature scaling": after["scores"],
        "thresholds": {"cost": by_formula, "cost on the wall": corrected, f"recall {wanted_recall}": by_duty},
        "precision on the wall": promised.iloc[-1].to_dict(),
        "compared with": compared,
        **results,
    },
)
