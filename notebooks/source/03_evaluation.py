# %% [markdown]
# # 03 · Evaluation
#
# How good is the network, on pictures that it has never seen? One number won't do. This notebook asks which mistakes it makes,
# how sure it is of them, what they would cost on a real wall, and how far the figures themselves can be trusted.
#
# | | |
# |---|---|
# | **You will learn** | confusion matrix, precision and recall, ROC and PR curves, calibration, thresholds, prevalence, intervals |
# | **Time** | 30 minutes to read, under a minute to run |
# | **Theory** | [T3 Evaluation](../THEORY.md#t3-evaluation) |

# %% tags=["parameters"]
data = ""  # folder with pictures; "" is synthetic concrete, made here
run = ""  # run folder, where results are kept; "" is runs/lesson
image_size = 128  # side to which pictures are resized [px]
max_images = 2000  # pictures used, drawn by whole groups; 0 takes all
threshold = 0.5  # "crack" from this probability on
prevalence = 0.01  # share of cracked patches on a real wall
cost_of_missing = 20.0  # price of a missed crack, with a false alarm as 1
seed = 0  # fixes every random choice

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn import metrics
from sklearn.calibration import CalibrationDisplay

import crackviz as cv
from crackviz.claims import claim

run = cv.series.open_run(run, "03_evaluation")
table = cv.data.prepare(data, run / "split.csv", max_images=max_images, seed=seed)
if not 0 < prevalence < 1 or cost_of_missing <= 0:
    raise ValueError("prevalence must lie between 0 and 1, and cost_of_missing above 0")

# %%
model, origin = cv.models.load_or_pretrained(run)
image_size = cv.models.image_size(model) or image_size
test = cv.training.unseen(run, table)
print(origin)
print(f"{len(test):,} of {(table['split'] == 'test').sum():,} test pictures are new to it")

# %% [markdown]
# The test pictures are used here for the first time. Nothing was decided by them, and that is the whole of their worth: whoever goes
# back after seeing these figures, changes the network and measures again has turned them into validation pictures.

# %%
labels = test["label"].to_numpy()
names = list(table.attrs["class_names"])
probabilities = cv.evaluation.predict(model, test, image_size)
predicted = (probabilities >= threshold).astype(int)
print(f"{len(test):,} test pictures, {labels.sum():,} of them cracked, in {test['group'].nunique():,} groups")

# %% [markdown]
# ## Four counts

# %%
figure, axis = plt.subplots(figsize=(5, 4.2), layout="constrained")
metrics.ConfusionMatrixDisplay.from_predictions(
    labels, predicted, display_labels=names, cmap="Blues", colorbar=False, text_kw={"fontsize": 18}, ax=axis
)
_ = cv.series.save_figure(run, figure, "03_confusion_matrix")

# %% [markdown]
# Everything that follows for one threshold comes from these four numbers. Top right are the false alarms, bottom left the missed
# cracks.

# %%
(tn, fp), (fn, tp) = metrics.confusion_matrix(labels, predicted, labels=[0, 1])
accuracy = (tp + tn) / len(labels)
precision = tp / (tp + fp) if tp + fp else np.nan  # without an alarm there is none to be right
recall = tp / (tp + fn)
f1 = 2 * tp / (2 * tp + fp + fn)
print(f"accuracy {accuracy:.4f}   precision {precision:.4f}   recall {recall:.4f}   F1 {f1:.4f}")

# %%
result = cv.evaluation.evaluate(
    labels, probabilities, class_names=names, groups=test["group"], threshold=threshold, seed=seed
)
cv.evaluation.class_report(result)

# %%
names_of_scores = ["accuracy", f"precision/{names[1]}", f"recall/{names[1]}", f"f1/{names[1]}"]
library = np.array([result["scores"][name]["value"] for name in names_of_scores], float)
claim(
    "T3.1",
    "accuracy, precision, recall and F1 follow from the four counts",
    np.allclose(library, [accuracy, precision, recall, f1], equal_nan=True),
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
_ = cv.series.save_figure(run, figure, "03_curves")

# %% [markdown]
# A curve in the very corner is hard to read from the back row, and a rounded 1.00 hides the rest. The area under it has a meaning that isn't geometrical: pick one
# cracked and one sound picture at random; how often does the cracked one get the higher score? We can simply count all pairs.

# %%
cracked, sound = probabilities[labels == 1], probabilities[labels == 0]
higher = (cracked[:, None] > sound).mean() + 0.5 * (cracked[:, None] == sound).mean()
print(f"{higher:.5f} of {cracked.size * sound.size:,} pairs are in order")

# %%
claim(
    "T3.2",
    "ROC-AUC is the share of crack and no-crack pairs that are in order",
    abs(higher - result["scores"]["roc_auc"]["value"]) < 1e-6,
)

# %%
thresholds = np.linspace(0, 1, 201)
recalls = np.array([(cracked >= t).mean() for t in thresholds])
false_alarms = np.array([(sound >= t).mean() for t in thresholds])
lower = cv.evaluation.evaluate(labels, probabilities, class_names=names, threshold=threshold / 2, resamples=0)
recall_of = [r["scores"][f"recall/{names[1]}"]["value"] for r in (result, lower)]
claim("T3.3", "half the threshold doesn't lower the recall", recall_of[1] >= recall_of[0])

# %% [markdown]
# ## Are the probabilities right?
#
# If the network says 80 % to a hundred patches, eighty of them should be cracked. The points of the next figure should lie on the
# diagonal. Most patches get an answer near 0 or 1, as the bars below show, so the points between stand for few pictures: a
# point off the line may be chance.

# %%
figure, axes = plt.subplots(2, 1, figsize=(6, 6.4), height_ratios=[3, 1], sharex=True, layout="constrained")
CalibrationDisplay.from_predictions(labels, probabilities, n_bins=10, ax=axes[0], name="network")
axes[1].hist(probabilities, bins=np.linspace(0, 1, 11), color="0.4", edgecolor="white")
axes[0].set(xlabel="", ylabel="share that is cracked")
axes[1].set(yscale="log", xlabel="probability of crack, as stated", ylabel="pictures")
axes[0].legend(loc="upper left")
_ = cv.series.save_figure(run, figure, "03_calibration")

# %% [markdown]
# ## How sure are the figures?
#
# Had we drawn other test pictures, the figures would be others. By how much? Draw from the ones we have, with replacement, a thousand
# times, and look at the spread. Whole groups are drawn: ten copies of one picture are one witness, not ten.

# %%
report = cv.evaluation.report(result)
display = cv.plots.ScoresDisplay.from_report(report.drop(index=["log_loss", "brier", "calibration_error"]))
_ = cv.series.save_figure(run, display.figure_, "03_scores")
report.round(4)

# %% [markdown]
# What would more pictures of the same kind bring? We pretend to have four times as many: each is copied three times, and the copies are
# given groups of their own, so that the bootstrap takes them for new witnesses. It is the very mistake warned of above, made on purpose,
# because four times the pictures aren't at hand.

# %%
fourfold = cv.evaluation.evaluate(
    np.tile(labels, 4),
    np.tile(probabilities, 4),
    class_names=names,
    groups=[f"{group}/{copy}" for copy in range(4) for group in test["group"]],
    seed=seed,
)
low_high = [[r["scores"]["brier"][end] for end in ("low", "high")] for r in (result, fourfold)]
widths = [high - low for low, high in low_high]
print(f"width of the Brier score's interval: {widths[0]:.4f}; with four times the pictures {widths[1]:.4f}")

# %%
claim(
    "T3.5",
    "with four times the pictures the Brier score's interval is about half as wide",
    0.35 * widths[0] <= widths[1] <= 0.65 * widths[0],
)

# %% [markdown]
# Half the width for four times the work: the first digits of a figure are cheap, the next ones dear.
#
# ## A wall isn't a test set
#
# In a test set cracked pictures are common, often every second one. On a wall it is perhaps one patch in a hundred. The network doesn't
# change, but what an alarm is *worth* does: there are now so many more sound patches to be wrong about.

# %%
shares = np.array([0.5, 0.2, 0.1, 0.05, 0.02, prevalence])
false_alarm_rate = fp / (fp + tn)
alarms = recall * shares + false_alarm_rate * (1 - shares)
worth = np.divide(recall * shares, alarms, out=np.zeros_like(alarms), where=alarms > 0)
pd.DataFrame({"share cracked": shares, "alarms that are right": worth.round(3)})

# %%
weight = np.where(labels == 1, prevalence / labels.mean(), (1 - prevalence) / (1 - labels.mean()))
weighted = metrics.precision_score(labels, predicted, sample_weight=weight, zero_division=0)
claim(
    "T3.4",
    "weighting the pictures to a wall's prevalence gives the formula's precision",
    abs(weighted - worth[-1]) < 1e-9,
)

# %% [markdown]
# ## What a threshold costs
#
# A missed crack and a false alarm aren't equally dear. Say missing one costs twenty times as much. Then alarm pays off where
# the odds of a crack are better than one to twenty, that is from a probability of 1 / (1 + 20) on. But this is a probability *on the wall*. The
# network's own were learnt from its training pictures, where cracks are far more common, so its odds must first be brought to the wall's.
#
# The curve shows the cost that we would really have had on the test pictures, brought to the prevalence of a wall.

# %%
trained_here = origin.endswith("trained in this run")
learnt = (
    table.loc[table["split"] == "train", "label"].mean() if trained_here else 0.5
)  # the shipped one saw half and half
odds = (1 / cost_of_missing) * learnt / (1 - learnt) * (1 - prevalence) / prevalence
naive, corrected = 1 / (1 + cost_of_missing), odds / (1 + odds)
cost = cost_of_missing * prevalence * (1 - recalls) + (1 - prevalence) * false_alarms
figure, axis = plt.subplots(figsize=(8, 4), layout="constrained")
axis.plot(thresholds, cost, color="black")
axis.axvline(naive, color="C0", linestyle="--", label=f"as if learnt on the wall: {naive:.2f}")
axis.axvline(corrected, color="C2", linestyle="-.", label=f"corrected for the wall: {corrected:.2f}")
axis.axvline(
    thresholds[cost.argmin()], color="C1", linestyle=":", label=f"cheapest here: {thresholds[cost.argmin()]:.2f}"
)
axis.set(xlabel="threshold", ylabel="cost per patch [false alarms]", ylim=(0, 1.5 * np.median(cost) + 0.01))
axis.legend()
_ = cv.series.save_figure(run, figure, "03_cost")

# %% [markdown]
# The cheapest threshold was found by looking at the test pictures, so it is a little too good to be true; the corrected one needed the
# formula alone. Each step of the curve is one picture, so don't make much of small gaps between the two. A large one says that the
# probabilities aren't right.
#
# ## The mistakes
#
# The twelve largest surprises, the largest first. Framed ones are mistakes; the others are the nearest to one. This is the most useful
# quarter of an hour in the whole series: every mistake is either a lesson about the network or a wrong label.

# %%
surprise = np.abs(probabilities - labels)
worst = np.argsort(-surprise, kind="stable")[:12]
display = cv.plots.ImagesDisplay.from_predictions(
    cv.data.load_images(test["path"].iloc[worst], image_size),
    labels[worst],
    probabilities[worst],
    class_names=names,
    threshold=threshold,
)
_ = cv.series.save_figure(run, display.figure_, "03_worst")

# %% [markdown]
# ## The small network beside it
#
# If notebook 02 has run, its first, two-layer network is measured on the same pictures.

# %%
both = {model.name: report}
small_result = None
if (run / "gap_cnn" / "model.keras").is_file():
    small = cv.models.load(run / "gap_cnn", image_size=image_size)
    cv.training.check_trained_on(run / "gap_cnn", table)
    small_result = cv.evaluation.evaluate(
        labels,
        cv.evaluation.predict(small, test, image_size),
        class_names=names,
        groups=test["group"],
        threshold=threshold,
        seed=seed,
    )
    both["gap_cnn"] = cv.evaluation.report(small_result)
shown = ["accuracy", *[f"f1/{name}" for name in names], "roc_auc", "average_precision"]
display = cv.plots.ScoresDisplay.from_report({name: scores.loc[shown] for name, scores in both.items()})
_ = cv.series.save_figure(run, display.figure_, "03_two_networks")

# %% [markdown]
# Intervals that keep clear of each other settle the matter. Overlapping ones don't prove the opposite: both networks met the
# same pictures, so the sharper question is on which pictures they disagree, and who is right there.
#
# ## Exercises
#
# 1. Set `prevalence = 0.001`. How many alarms are right? What threshold would bring that to one half?
# 2. Replace the bootstrap over groups by one over pictures (leave `groups` out). Which interval is wider, and why?
# 3. A colleague tests on 40 pictures without a mistake and writes "100 % accuracy". What would you write?
#
# **Solutions.** 1: read the table's last row; then raise the threshold until $f < r \pi / (1 - \pi)$. 2: that over groups, wherever twins share their
# fate. 3: "no mistake in 40; the error rate may be as high as 3/40 = 7.5 % (rule of three)".

# %%
results = {model.name: result} | ({"gap_cnn": small_result} if small_result else {})
cv.series.write_results(run, "03_evaluation", {"model": origin, "prevalence": prevalence, **results})
