# %% [markdown]
# # 08 · Do the maps hold?
#
# A map is a statement: the network said "crack" because of *this*. Statements can be tested, and here they are: against the truth, against
# the network itself, against a network that has learned nothing, and against maps that need no network at all.
#
# | | |
# |---|---|
# | **You will learn** | scores of maps, their chance levels and how each is fooled; deletion and insertion; the randomisation test; what a map knows of an object's worth |
# | **Time** | 45 minutes to read, two to three minutes to run |
# | **Theory** | [T8 Do the maps hold?](../THEORY.md#t8-do-the-maps-hold) |
# | **Before** | [07 Attribution methods](07_attribution_methods.ipynb) |

# %% tags=["parameters"]
data: str = ""  # folder with pictures; "" is synthetic concrete, made here
crack_class: str = ""  # the folder whose pictures show cracks, where its name doesn't say so
groups: str = ""  # which pictures show one place: "folder:1", a pattern, a CSV file; "" goes by file names
run: str = ""  # run folder, where results are kept; "" is runs/lesson
network: str = ""  # a trained network: a file, a run folder, or the name of a shipped one; "" takes the run's
image_size: int = 128  # side to which pictures are resized [px]
max_images: int = 4000  # pictures used, drawn by whole groups; 0 takes all
n_images: int = 24  # cracked pictures whose maps are scored
n_perturbed: int = 6  # of these, how many are changed and shown to the network again
n_objects: int = 80  # synthetic patches whose objects are taken away, one at a time
n_masks: int = 100  # random masks of RISE: as many passes for each picture
seed: int = 0  # fixes every random choice

# %%
import keras
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import crackviz as cv
from crackviz.claims import claim
from crackviz.contracts import check_number
from crackviz.progress import progress

explain, faith = cv.attribution, cv.faithfulness
run = cv.series.open_run(run, "08_do_the_maps_hold")
for name, value in {
    "n_images": n_images,
    "n_perturbed": n_perturbed,
    "n_objects": n_objects,
    "n_masks": n_masks,
}.items():
    check_number(name, value, 1, whole=True)
net = cv.models.find(run, network=network)
model = net.load()
image_size = cv.models.size_for(model, image_size)
table = cv.data.prepare(
    data, run / "split.csv", max_images=max_images, seed=seed, crack_class=crack_class, groups=groups
)

# %%
fair = cv.training.unseen(net, table)  # pictures of the test part that the network has never seen
some = fair[fair["label"] == 1].sample(frac=1, random_state=seed).head(n_images)
images = cv.data.load_images(some["path"], image_size)
masks = cv.data.load_masks(some["mask"], image_size) if (some["mask"] != "").all() else None
logits = explain.logits(model, images)
print(net.origin)
print("masks are known" if masks is not None else "these pictures have no masks: what needs them is left out")

# %% [markdown]
# ## First test the test
#
# A score is a measuring instrument, so it is tried on what is known. Here are three cracks that we drew ourselves, 2 px wide. A map that *is* the mask must get the best
# value of every score. Its complement is wrong everywhere: what does it get?

# %%
side = 64
drawn = np.zeros((3, side, side), bool)
for n in range(3):
    for width in (0, 1):
        drawn[n, np.arange(side), 10 + 12 * n + np.arange(side) // 4 + width] = True
planted = {"the mask": drawn, "its complement": ~drawn}
first = pd.DataFrame(
    {name: faith.localisation_scores(maps.astype(float), drawn)[0].mean() for name, maps in planted.items()}
)
first["chance"] = pd.Series(faith.chance_levels(drawn))
first.round(3)

# %%
claim(
    "T8.1",
    "a map that is the mask gets the best value of every localisation score",
    first["the mask"].min(),
    ">=",
    1 - 1e-9,
    provided=(first["its complement"] < 1).drop("recall_2px").all(),
    identity=True,
)

# %% [markdown]
# Read the complement's column: all its evidence lies beside the crack, and within 8 px there is still plenty; and its recall is perfect, since at its best threshold it calls everything crack. So a score is read beside its *chance level*, what a map gets
# that says nothing. For "within 8 px" that is the area within 8 px, which for a crack across the picture is a large one. Does noise really score that? Forty random maps should, to within four standard errors of their mean. One score is allowed a tenth more: the precision belongs to the threshold that suits the maps best, and the best of many thresholds lies a little above chance.

# %%
rng = np.random.default_rng(seed)
noise = pd.DataFrame([faith.localisation_scores(rng.random(drawn.shape), drawn)[0].mean() for _ in range(40)])
levels = pd.Series(faith.chance_levels(drawn))
shared = [name for name in noise if name in levels]
error = (noise[shared].mean() - levels[shared]).abs()
spread = noise[shared].std() / np.sqrt(len(noise))  # of the mean of the draws, not of one
limits = 4 * spread
limits["precision_2px"] += 0.1 * levels["precision_2px"]
claim("T8.2", "random maps score at the chance level", (error / limits).max(), "<", 1)

# %% [markdown]
# ## The rivals
#
# An explanation competes with maps that explain nothing: how dark a pixel is, how much darker than its surroundings, how steep the brightness. Cracks are dark and have edges, so these are
# good at finding cracks, and no network enters. The four patches are the first of a random draw. The black and white line runs around the crack where it is known. For the eye the maps are widened by a pixel; each has a scale of its own, written above it.

# %%
shown = {"Grad-CAM": "grad_cam", "thin CAM": "thin_cam", "local darkness": "local_darkness", "edges": "edges"}
maps = {title: explain.METHODS[name](model, images[:4]) for title, name in shown.items()}
display = cv.plots.AttributionGridDisplay.from_maps(
    images[:4],
    maps,
    masks=None if masks is None else masks[:4],
    label={
        "Grad-CAM": "logits per cell",
        "thin CAM": "logits per cell",
        "local darkness": "brightness",
        "edges": "slope",
    },
    logits=logits[:4],
    scale="image",
    widen=1,
)
_ = cv.series.save_figure(
    run,
    display.figure_,
    "08_rivals",
    alt="Cracked patches and four maps of each: by Grad-CAM and thin CAM, and two that know no network, local darkness and edges.",
)

# %% [markdown]
# ## The table
#
# Eleven methods, the four rivals, and four methods on the same network with fresh weights, as if it had never been trained. Each score comes with an interval, by drawing the
# pictures anew. Slopes (the gradient and methods made from it) are scored by their absolute value: their sign says which way to change a pixel, not for what it speaks. Some of the scores stand here, six where there are masks; all of them are explained below, and kept in `results.json`.

# %%
methods = ["grad_cam", "layer_cam", "score_cam", "eigen_cam", "thin_cam", "gradient", "smooth_grad"]
methods += ["integrated_gradients", "guided_backprop", "occlusion", "rise"]
arguments = {
    "smooth_grad": {"n_samples": 16},
    "integrated_gradients": {"n_samples": 16},
    "rise": {"n_samples": n_masks},
}
scores = faith.score_methods(
    model,
    images,
    masks,
    methods=methods,
    untrained=["grad_cam", "thin_cam", "gradient", "guided_backprop"],
    options=faith.Options(arguments, perturbed=n_perturbed, seed=seed),
    bootstrap=cv.evaluation.Bootstrap(some["group"], resamples=500, seed=seed),
)
values = scores.xs("value", axis=1, level=1)
six = ["pointing_4px", "evidence_4px", "average_precision", "deletion", "insertion", "infidelity"]
values[[name for name in six if name in values]].round(2)

# %%
names = {name: method.title for name, method in explain.METHODS.items()}
columns = ["evidence_4px", "average_precision", "insertion", "infidelity"]
columns = [name for name in columns if name in values] or ["insertion", "deletion", "road", "infidelity"]
display = cv.plots.MethodScoresDisplay.from_table(scores, scores=columns if len(columns) == 4 else None, names=names)
_ = cv.series.save_figure(
    run,
    display.figure_,
    "08_table",
    alt="The scores of all methods, a panel for each score: dots with intervals for the network, crosses for fresh weights, squares for maps without a network, in a grey band.",
)

# %% [markdown]
# How to read it: a blue dot inside the grey band says no more than some map without a network. A blue dot that is good in one column and poor in the next isn't a contradiction: the columns ask different
# questions. The crosses show what remains where nothing was learned; where a cross is as good as its dot, that score didn't ask for what was learned. (If RISE does badly, ask what it shows the network: pictures dimmed with black, and black is what cracks are made of. And ask how many masks it had.)
#
# And each column can be fooled:

# %%
faith.scores_table().loc[list(values), ["title", "better", "chance", "fooled"]]

# %% [markdown]
# Look at the rivals' rows. If the pictures have masks, plain darkness finds the crack better than chance by its highest pixel (the *[pointing game](../THEORY.md#g-pointing-game)*), and by [average precision](../THEORY.md#g-average-precision) it may well beat every map of the network. That doesn't make it an
# explanation: it would find the crack in the same place if the network had said "no crack", or had never been trained. A high score is necessary. It proves nothing by itself.

# %%
if masks is not None:
    chance = scores.attrs["chance"]
    rival = values.loc["none"]
    claim(
        "T8.3",
        "maps that know no network find cracks far better than chance",
        min(rival[score].max() / chance[score] for score in ("average_precision", "pointing_4px")),
        ">",
        2,
    )

# %%
if masks is not None:
    trained, fresh = (values["evidence_4px"].get(one, pd.Series([np.nan])) for one in ("trained", "untrained"))
    claim(
        "T8.4",
        "the trained network's best map lies nearer to the crack than any of the same network with fresh weights",
        trained.max() - fresh.max(),
        ">",
        0.05,
        unless=net.foreign,
    )

# %% [markdown]
# ## Ask the network
#
# Masks say where the crack is, not what the network used. Whether a map tells that is its *[faithfulness](../THEORY.md#g-faithfulness)*. To measure it, change the picture and ask again: take the pixels away, those first that the map ranks highest, and watch the answer
# fall (**deletion**). Or begin with nothing and give them back (**insertion**). A map that tells what the network uses makes the first curve fall early and the second rise early. Pale bands, drawn
# where the pictures come from five photographs or more, are the means' 95 % intervals.

# %%
few = images[:n_perturbed]
ranked = {"thin CAM": "thin_cam", "Grad-CAM": "grad_cam", "darkness": "darkness", "random": "random"}
few_maps = {title: explain.METHODS[name](model, few) for title, name in ranked.items()}
shares = np.r_[0, np.geomspace(0.005, 1, 20)]  # a crack covers few per cent: finer steps there
curves = {
    title: faith.deletion_insertion(model, few, maps, shares=shares, seed=seed) for title, maps in few_maps.items()
}
display = cv.plots.PerturbationCurvesDisplay.from_curves(
    curves, bootstrap=cv.evaluation.Bootstrap(some["group"][:n_perturbed], seed=seed)
)
_ = cv.series.save_figure(
    run,
    display.figure_,
    "08_curves",
    alt="The mean probability of a crack while pixels are taken away, left, or given back, right, in the order of thin CAM, Grad-CAM, darkness, and at random.",
)

# %%
areas = pd.DataFrame(
    {title: [area.mean() for area in curve.areas("logit")] for title, curve in curves.items()},
    index=["deletion", "insertion"],
)
print((areas.loc["insertion"] - areas.loc["deletion"]).round(2).to_dict())

# %%
gap = areas.loc["insertion"] - areas.loc["deletion"]
claim(
    "T8.5",
    "taking pixels away in the order of Grad-CAM moves the logit more than in random order, by over a unit",
    gap["Grad-CAM"] - gap["random"],
    ">",
    1,
)

# %% [markdown]
# Darkness again! It was never asked what the network does, and its curve may be among the best, because the network answers to dark lines and darkness lists them. The score can't tell an
# explanation from a good guess.
#
# ### What fills the holes?
#
# A pixel can't be taken away. It is replaced, and by what, decides. The blurred picture, its mean colour, a surface grown in from what is left (as ROAD does), black: same map, same network.

# %%
fills = pd.DataFrame(
    {
        fill: [
            area.mean()
            for area in faith.deletion_insertion(model, few, few_maps["Grad-CAM"], steps=16, baseline=fill).areas()
        ]
        for fill in ("blur", "mean", "inpaint", "black")
    },
    index=["deletion", "insertion"],
)
fills.round(3)

# %% [markdown]
# Read along the rows, and hold the two numbers below against each other: how far the three fills lie apart that look like a wall (blur, mean, a surface grown in), and how far black lies from them.

# %%
wall = fills.drop(columns="black")
apart = pd.DataFrame(
    {"among walls": np.ptp(wall, axis=1), "black and the nearest": (wall.sub(fills["black"], axis=0)).abs().min(axis=1)}
)
words = (
    "black decides more" if (apart.iloc[:, 1] > apart.iloc[:, 0]).all() else "black is no odder than the others here"
)
print(f"{words}: {apart.round(3).to_dict('index')}")

# %%
claim(
    "T8.6",
    "black holes change the deletion score by over 0.25 more than fills that look like a wall do among themselves",
    apart.loc["deletion", "black and the nearest"] - apart.loc["deletion", "among walls"],
    ">",
    0.25,
    unless=net.foreign,
)

# %% [markdown]
# Black isn't neutral on concrete: it draws a crack of its own. So a deletion score is given together with its fill, and compared only under the same one.
#
# ### Adding up isn't enough
#
# Grad-CAM's cells sum to the logit less the bias. Shuffle them: the sum is the same, to the last digit.

# %%
cells = explain.grad_cam(model, images, upsample=False)
order = np.random.default_rng(seed).permutation(cells[0].size)
shuffled = cells.reshape(len(cells), -1)[:, order].reshape(cells.shape)
error = {
    name: float(np.abs(explain.completeness_error(model, images, maps)).max())
    for name, maps in {"Grad-CAM": cells, "shuffled": shuffled}.items()
}
falls = faith.measure_falls(model, few)
enlarge = np.ones((1, -(-image_size // cells.shape[1]), -(-image_size // cells.shape[2])))
told = {
    name: float(np.nanmean(faith.infidelity(np.kron(maps[:n_perturbed], enlarge)[:, :image_size, :image_size], falls)))
    for name, maps in {"Grad-CAM": cells, "shuffled": shuffled}.items()
}
print({name: f"share of the falls unaccounted for {share:.2f}" for name, share in told.items()})

# %%
claim(
    "T8.7",
    "shuffled, a map adds up as before, and tells worse what covering does",
    told["shuffled"] - told["Grad-CAM"],
    ">",
    0,
    provided=max(error.values()) < 1e-2 * (1 + np.abs(logits).max()),
    unless=explain.adds_up(model),
)

# %% [markdown]
# ## Take the learning away
#
# The hardest test needs neither masks nor holes (Adebayo et al. 2018). Draw the network's weights anew, layer after layer from the top down, until nothing is left of what it learned. A map that explains the decision
# must change, because the decision is gone. A map that stays was never about the decision.

# %%
tested = ["gradient", "grad_cam", "thin_cam", "guided_backprop", "edges"]
tested = [name for name in tested if f"trained/{name}" not in scores.attrs["errors"]]  # some refuse some networks
test = faith.randomisation_test(model, few, {name: explain.METHODS[name] for name in tested}, seed=seed)
display = cv.plots.RandomisationDisplay.from_test(test, names=names)
_ = cv.series.save_figure(
    run,
    display.figure_,
    "08_randomisation",
    alt="How much each method's map still agrees with that of the trained network while layer after layer is drawn anew, from the logit down to the first convolution.",
)

# %%
verdict = faith.verdict(test)
verdict.round(2)

# %%
guided = "guided_backprop" in tested
kept = verdict["kept"].get("guided_backprop", np.nan) - verdict["kept"][["gradient", "grad_cam"]].max()
claim(
    "T8.8",
    "with the upper half of the weights fresh the gradient and Grad-CAM change, and guided backpropagation keeps more of its map: its rank correlation stays higher by over 0.1",
    kept,
    ">",
    0.1,
    provided=verdict["passes"][["gradient", "grad_cam"]].all(),
    unless=net.foreign if guided else net.foreign or "guided backpropagation refuses it",
)

# %% [markdown]
# Guided backpropagation goes on drawing its sharp lines although nothing above them means anything. It notices the *upper* layers less than the gradient and Grad-CAM do: its lines
# are drawn by the first ones and the picture. But look to the right end of its curve: as the first layers are drawn anew it falls, too, unlike the edges, which know no network at all. (The bands are three draws of
# fresh weights: a random last layer may leave a map nearly as it is, hardly like itself, or with its sign turned, so one draw won't do.)
#
# Passing is no medal. It says that the map depends on the weights, and nothing more.
#
# **Disorder in place of likeness.** The last column compares no maps. It is the rise of a map's *complexity* (the entropy of the histogram of its values) once all weights are fresh, as a share: efficient MPRT
# (Hedström et al. 2024). A map that was about what was learned is meant to get more disordered, with a number above 0. The edges know no weights: theirs is 0. It is another question than that of the column before, and may put the methods in another order.

# %%
rising = [names[name] for name in verdict.index[verdict["rise"] > 0.01]]
print(f"more disordered with fresh weights: {', '.join(rising) or 'none'}")

# %% [markdown]
# The choice of likeness matters. SSIM asks for the look and not for the order of the pixels. Compare with the curves above, method by method: it may find two maps more alike than the ranks do, or less:

# %%
test.pivot_table(index="method", columns="step", values="ssim").round(2)

# %% [markdown]
# Redrawing one layer at a time shows which layers a map reads at all:

# %%
single = faith.randomisation_test(
    model, few, {name: explain.METHODS[name] for name in tested}, mode="independent", draws=3, seed=seed
)
single.pivot_table(index="method", columns="layer", values="rank", sort=False).round(2)

# %% [markdown]
# ### Learned nonsense
#
# The other half of the test: let a small network learn labels that were shuffled, so that there is nothing to learn, and its twin the true ones, as far as it gets. Same pictures, same start. A second twin learns the true labels, too, with the
# pictures in another order: it says how alike maps can be where the same was taught.

# %%
train = table[table["split"] == "train"].sample(frac=1, random_state=seed).head(400)
small = cv.data.load_images(train["path"], 64)
labels = train["label"].to_numpy()
nonsense = [f"shuffled, draw {draw}" for draw in range(3)]  # one draw of labels won't do
lessons = {"true": labels} | {
    name: np.random.default_rng([seed, draw]).permutation(labels) for draw, name in enumerate(nonsense)
}
lessons["true again"] = labels
twins = {}
for name, taught in progress(lessons.items(), "training", len(lessons), unit="network"):
    keras.utils.set_random_seed(seed + int(name == "true again"))
    twins[name] = cv.models.gap_cnn(64, seed=seed)
    twins[name].compile(keras.optimizers.Adam(3e-3), "binary_crossentropy")
    twins[name].fit(small, taught.astype("float32")[:, None], epochs=12, batch_size=32, verbose=0)

# %%
little = cv.data.load_images(some["path"], 64)
alike = {}
for name in ("grad_cam", "guided_backprop"):
    first_maps = explain.METHODS[name](twins["true"], little)
    others = [explain.METHODS[name](twins[other], little) for other in ("true again", *nonsense)]
    alike[name] = [float(faith.rank_correlation(first_maps, maps).mean()) for maps in others]
for name, (same, *other) in alike.items():
    fewer = sum(value < same for value in other)
    print(f"{names[name]}: less alike than where the same was taught in {fewer} of {len(other)} draws")
pd.DataFrame(alike, index=["true again", *nonsense]).rename(columns=names).round(2)  # 1: the same map

# %%
if len(set(labels)) == 2:  # of one class alone, shuffled labels are the true ones
    claim(
        "T8.9",
        "taught shuffled labels, a network gives other maps than taught the true ones once more, on average over three draws",
        alike["grad_cam"][0] - np.mean(alike["grad_cam"][1:]),
        ">",
        0,
    )

# %% [markdown]
# ## Take the crack away
#
# Deletion fills holes with something, and so asks about pictures that no camera has taken. On synthetic concrete there is a better way: `synthetic.without` renders the same wall once more, *without the crack*. Surface, light, noise and camera stay the same, and so
# does every pixel that the crack doesn't touch. The same goes for stains, joints, shadows. The change of the logit is what the object was *worth* to the network. It is measured, not explained.

# %%
settings = cv.synthetic.Settings(  # walls that nobody has seen, two patches of each
    seed=1000 + seed,
    image_size=image_size,
    patches_per_photo=2,
    crack_width=(1.8, min(13.0, image_size / 8)),
    distractor_rate=0.8,
)
pairs, kinds = [], []
for number in range(n_objects):
    patch = cv.synthetic.patch(number, settings)
    for kind in [*(["crack"] if patch.mask.any() else []), *patch.distractors]:
        pairs.append((patch, cv.synthetic.without(number, kind, settings)))
        kinds.append(kind)
with_it = np.stack([patch.image for patch, _ in pairs]).astype("float32") / 255
without = np.stack([other.patch.image for _, other in pairs]).astype("float32") / 255
where = np.stack([other.where for _, other in pairs])
print(f"{len(pairs)} objects, {kinds.count('crack')} of them cracks")

# %%
worth = faith.worth(model, with_it, without)
shown = [kinds.index("crack"), *np.argsort(-np.abs(worth) * (np.array(kinds) != "crack"))[:2]]
display = cv.plots.ImagesDisplay.from_images(
    np.concatenate([with_it[shown], without[shown]]),
    titles=[*(f"{kinds[n].replace('_', ' ')}: worth {worth[n]:+.1f}" for n in shown), *("without it" for _ in shown)],
    columns=3,
)
_ = cv.series.save_figure(
    run,
    display.figure_,
    "08_with_and_without",
    alt="Three rendered patches with an object, a crack first, and below each the same wall without it. What the object is worth, in logits, stands above.",
)

# %% [markdown]
# Now ask the maps. Each was made of the picture *with* the object. How much evidence does it hold inside the object, and does that predict the worth? The score is their rank correlation over all objects. Mind the
# row "size of the object": a large one holds more of any map, and is worth more, so its mere size may predict something.

# %%
known = faith.cause_scores(
    model,
    with_it,
    without,
    where,
    methods=["grad_cam", "layer_cam", "thin_cam", "gradient", "guided_backprop", "integrated_gradients"],
    untrained=["grad_cam", "thin_cam", "gradient", "guided_backprop"],
    options=faith.Options({"integrated_gradients": {"n_samples": 16}}, seed=seed),
    bootstrap=cv.evaluation.Bootstrap([patch.photo for patch, _ in pairs], resamples=500, seed=seed),
)
_, axes = plt.subplots(1, 1, figsize=(10, 7), squeeze=False, layout="constrained")
display = cv.plots.MethodScoresDisplay.from_table(known, names=names | {"area": "size of the object"}, ax=axes[0])
_ = cv.series.save_figure(
    run,
    display.figure_,
    "08_known_cause",
    alt="How well each method predicts what an object is worth to the network: dots with intervals for the network, crosses for fresh weights, squares for maps without a network.",
)

# %%
cause = known["known_cause"]
best = cause.loc["trained", "value"].idxmax()
low, rival = cause.loc[("trained", best), "low"], cause.loc["none", "value"]
print(
    f"best map: {names[best]}, {cause.loc[('trained', best), 'value']:.2f}; best without a network: {rival.idxmax()}, {rival.max():.2f}"
)
print(f"it is ahead of the best without a network in {cause.loc[('trained', best), 'beats']:.0%} of the resamples")

# %%
claim(
    "T8.10",
    "a map of the network predicts what objects are worth to it, better than any map without a network, and than size",
    cause.loc[("trained", best), "value"] - rival.max(),
    ">",
    0,
    provided=low > 0,
)

# %% [markdown]
# Nothing was filled in here, and no mask of "the crack" was the judge: a stain that the network minds counts as much as a crack. A map that is ahead of darkness and of size knows something about *this* network. One that isn't may be a good drawing of the wall.

# %% [markdown]
# ## Accuracy is another thing
#
# Is the better classifier the better witness? Here is how often each network is right on the same unseen pictures, and how near to the crack its Grad-CAM lies.

# %%
checked = fair.sample(frac=1, random_state=seed).groupby("label").head(100)
right = {}
for name, (network, size) in {
    "the network": (model, image_size),
    "small, true labels": (twins["true"], 64),
    "small, shuffled labels": (twins[nonsense[0]], 64),
}.items():
    answers = explain.logits(network, cv.data.load_images(checked["path"], size)) > 0
    right[name] = {"accuracy": float((answers == (checked["label"] == 1)).mean())}
    if masks is not None:
        truth = cv.data.load_masks(some["mask"], size)
        pictures = cv.data.load_images(some["path"], size)
        near = faith.evidence_near(explain.grad_cam(network, pictures), truth, distance=4 * size / image_size)
        right[name]["evidence near the crack"] = float(np.nanmean(near))
pd.DataFrame(right).T.round(2)

# %% [markdown]
# The two columns needn't agree. `benchmarks/networks.py` taught five networks the same 1,206 pictures, from three seeds each. MobileNetV2 was right about all unseen patches of METU, and the highest point of its map lay on the crack in
# 1.5 % of DeepCrack's pictures; by chance it is 2.7 %. `local_cnn` was right about 99.5 %, and there it was 80 %. A network may know that there is a crack from far more than the crack, and wide cells draw it beside. Whoever needs to know
# *where* must test *where*.
#
# ## To remember
#
# - Test the test first: on the truth, and on noise.
# - Put maps without a network beside every score: darkness, edges, chance.
# - Near the crack is not the same as because of the crack.
# - What fills the holes is part of every deletion score.
# - A map that stays when the weights are drawn anew was never about the decision.
#
# **Two questions**
#
# <details><summary>Darkness scores better than Grad-CAM on masks. Is it the better explanation?</summary>
#
# No: it would be the same map for a network that says "no crack".
#
# </details>
#
# <details><summary>A method passes the randomisation test. Is its map right?</summary>
#
# That isn't shown: noise would pass, too. Only failing proves something.
#
# </details>
#
# ## Exercises
#
# ★ is read off, ★★ takes a line or two, ★★★ is written. Put your answer in place of the dots and run the cell: it tells you whether it is right, or what is wrong with it.
#
# **08.1** ★ Cube every value of a map that is nowhere negative. Which of these scores change: `"average_precision"`, `"insertion"`, `"pointing_4px"`, `"evidence_4px"`? Give a set.

# %% tags=["exercise"]
answer = ...
cv.series.exercise("08.1", answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# Cubing keeps the order of the pixels, and the first three depend on the order alone. The share of the evidence near the crack rises, or falls, since it weighs the values.
#
# ```python
# answer = {"evidence_4px"}
# ```
#
# </details>
#
# **08.2** ★★ For the drawn cracks, the complement of the mask had all its evidence *beside* the crack. How much of it lies within 8 px, for each of the three? Use `faith.evidence_near` with `distance=8`.

# %% tags=["exercise"]
answer = ...
cv.series.exercise("08.2", answer, of=((~drawn).astype(float), drawn))

# %% [markdown]
# <details><summary>Solution</summary>
#
# Plenty: near a crack that runs across the picture is a large part of the picture. A score is read beside its chance level.
#
# ```python
# answer = faith.evidence_near((~drawn).astype(float), drawn, distance=8)
# ```
#
# </details>
#
# **08.3** ★★★ Write `def answer(values, mask):` for one map and one mask of the same shape. It returns the share of the map's positive part that lies where the mask is above one half.

# %% tags=["exercise"]
answer = ...
cv.series.exercise("08.3", answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# Cut off what is negative first; then divide the sum on the mask by the whole sum.
#
# ```python
# def answer(values, mask):
#     positive = values.clip(min=0)
#     return positive[mask > 0.5].sum() / positive.sum()
# ```
#
# </details>
#
# **To go on**, without a check:
#
# 1. Score `1 - images.mean(axis=-1)` cubed as a map of your own: `methods={"mine": …}`. Which scores change against "darkness", which can't, and why?
# 2. Compute `sensitivity_max` of the gradient and of Grad-CAM. Which one is steadier? Does that make it truer?
# 3. Give `deletion_insertion` a map that is 1 on the mask and 0 elsewhere. Does the truth get the best deletion score?
# 4. Write a map that passes the randomisation test and is worthless.
#
# <details><summary>Solutions</summary>
#
# 1: see 08.1. 2: read it from `results.json`; a map of large cells averages over many pixels, and a constant map would be steadier still. 3: often not: the network also uses what lies around the crack, and the holes are strange to it. The mask knows the crack, not the network. 4: random numbers with the network's weights as their seed.
#
# </details>

# %%
cv.series.write_results(
    run,
    "08_do_the_maps_hold",
    {
        "headlines": ["scores.trained/grad_cam.evidence_4px"],  # compared first, where many runs are
        "model": net.origin,
        "pictures": int(scores.attrs["images"]),
        "scores": {"/".join(row): values.loc[row].round(4).to_dict() for row in values.index},
        "chance": scores.attrs["chance"],
        "what fills the holes": fills.round(4).to_dict(),
        "verdict": verdict["kept"].round(3).to_dict(),
        "rise of complexity": verdict["rise"].round(3).to_dict(),
        "known cause": {"/".join(row): cause.loc[row].round(4).to_dict() for row in cause.index},
        "taught shuffled labels": alike,
        "accuracy and maps": right,
    },
)
