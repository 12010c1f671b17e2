# %% [markdown]
# # 00 · Start here: one decision, explained
#
# A network looks at a photograph of concrete and says "cracked, 98 %". Would you send someone up a ladder for that? You
# would want to know what it saw. This notebook asks one trained network about a few patches, and takes its answers
# apart until every bit of them is accounted for.
#
# | | |
# |---|---|
# | **You will learn** | what the network returns, what an attribution map is, and why this one can be trusted to *add up* |
# | **You need** | a little Python and NumPy, and the idea of a derivative. Nothing about networks: notebook 02 begins with how one learns |
# | **Time** | 15 minutes to read, under a minute to run |
# | **Theory** | [T0 One decision, explained](../THEORY.md#t0-one-decision-explained) |
# | **Afterwards** | [01 Data](01_data_and_preprocessing.ipynb) · [02 Training](02_training.ipynb) · [03 Evaluation](03_evaluation.ipynb) · [06 Grad-CAM](06_grad_cam.ipynb) |

# %% [markdown]
# The next cell holds everything you may want to change. Whoever runs the notebook from a command line changes it there:
# `.venv/bin/crackviz run 00 --data my_pictures -p n_images 4`.

# %% tags=["parameters"]
data: str = ""  # folder with pictures; "" is synthetic concrete, made here
crack_class: str = ""  # the folder whose pictures show cracks, where its name doesn't say so
groups: str = ""  # which pictures show one place: "folder:1", a pattern, a CSV file; "" goes by file names
run: str = ""  # run folder, where results are kept; "" is runs/lesson
network: str = ""  # a trained network: a file, a run folder, or the name of a shipped one; "" takes the run's
image_size: int = 128  # side to which pictures are resized [px]
max_images: int = 4000  # pictures used, drawn by whole groups; 0 takes all
n_images: int = 6  # pictures explained here, chosen by a rule
seed: int = 0  # fixes every random choice

# %%
import numpy as np

import crackviz as cv
from crackviz.claims import claim
from crackviz.contracts import check_number

run = cv.series.open_run(run, "00_start_here")
check_number("n_images", n_images, 1, whole=True)
net = cv.models.find(run, network=network)
model = net.load()
image_size = cv.models.size_for(model, image_size)
table = cv.data.prepare(
    data, run / "split.csv", max_images=max_images, seed=seed, crack_class=crack_class, groups=groups
)

# %% [markdown]
# ## The pictures
#
# The table lists one picture per row: where it lies, its [label](../THEORY.md#g-label) (0 = no crack, 1 = crack), the [group](../THEORY.md#g-group) of near-identical
# pictures that it belongs to, and the part of the [split](../THEORY.md#g-split) that it was dealt to. Notebook 01 explains how it was made.
#
# ## The network
#
# If you have run notebook 02, this is the network that you trained there. Otherwise it is the one that comes with the
# package.

# %%
print(net.origin)

# %% [markdown]
# To be fair, we ask it only about pictures that it has never seen: of the test part, and none that the network was trained on. Which of them
# do we show? If we picked those that we like, they would prove nothing. So a rule picks them: the two surest cracks, the surest sound patch, the surest mistake, and a sound patch with a *distractor*.
# A distractor is something that is no crack but might pass for one: a joint, a cable, a shadow. Then come the next surest. Each comes from another wall, as long as there is one.
# The table lists the cracked ones first.

# %%
fair = cv.training.unseen(net, table)
asked = fair.sample(frac=1, random_state=seed).head(400)
answers = cv.attribution.logits(model, cv.data.load_images(asked["path"], image_size))
some = cv.evaluation.examples(asked, answers, n_images)
some[["why", "logit", "label"]].reset_index(drop=True).round(1)

# %%
labels = some["label"].to_numpy()
names = table.attrs["class_names"]

# %%
images = cv.data.load_images(some["path"], image_size)
probabilities = model.predict(images, verbose=0)[:, 0]
display = cv.plots.ImagesDisplay.from_predictions(images, labels, probabilities, class_names=names)
_ = cv.series.save_figure(
    run,
    display.figure_,
    "00_predictions",
    alt="The patches explained here. Above each stand the truth and the probability of a crack that the network gives; a frame marks a mistake.",
)

# %% [markdown]
# Above each picture stand the truth and the network's answer, the probability that it shows a crack. A frame marks a
# mistake.
#
# ## From probability to logit
#
# Inside the network, the probability comes last. What it computes is a *[logit](../THEORY.md#g-logit)*, a plain sum that can be any number. The
# logistic function turns it into a probability: 0 becomes 50 %, and every unit more multiplies the odds by 2.7.

# %%
logits = cv.attribution.logits(model, images)
for probability, logit in zip(probabilities, logits, strict=True):
    print(f"logit {logit:+7.2f}   probability {probability:.6f}")

# %%
claim(
    "T0.1",
    "the probability is the logistic function of the logit",
    np.abs(probabilities - 1 / (1 + np.exp(-logits.astype(np.float64)))).max(),
    "<",
    1e-5,
    identity=True,
)

# %% [markdown]
# Compare the surest answers. Their probabilities may be alike to the last digit; their logits are not. The logit still tells how
# much [evidence](../THEORY.md#g-evidence) there is where the probability has long been full.
#
# ## Where the evidence lies
#
# The method is called Grad-CAM; notebook 06 derives it. Its result is a map of the evidence. **Red** places speak for
# "crack", **blue** ones for "no crack", and the colour bar says how much, in logits. All the maps share one scale, so a pale map
# means little evidence. For the eye, thin lines are widened by 2 px, and the colours are full from the 99th percentile on: one strong pixel would else make all the others pale. A black and white
# line runs around the crack where it is known.

# %%
maps = cv.attribution.grad_cam(model, images)
reasons = some["why"].str.replace(" and ", "\nand ")  # on two lines, where long
titles = [f"{why}\nlogit {logit:+.1f}" for why, logit in zip(reasons, logits, strict=True)]
masks = cv.data.load_masks(some["mask"], image_size) if (some["mask"] != "").all() else None
display = cv.plots.AttributionDisplay.from_maps(images, maps, titles=titles, masks=masks, widen=2, percentile=99)
_ = cv.series.save_figure(
    run,
    display.figure_,
    "00_maps",
    alt="Each patch, and below it the same patch under its map of evidence: red speaks for a crack, blue against it, in logits. A line runs around the crack where it is known.",
)

# %% [markdown]
# On the surest cracks the red follows the crack. How closely depends on the network: the cells of a map may be wider than a pixel, and each looks
# at a neighbourhood wider than itself. The shipped `local_cnn` is built so that only pixels darker than their surroundings can hold evidence: that, and not the method,
# makes its map so fine. In notebook 06 you will see the same method give wide patches for a plainer network. On the surest sound patch there is little to point at: a
# pale blue, or nothing. Where the network is wrong, or nearly so, look at what is red: that is what it took for a crack. How can a network be sure of "no crack" and have so little to show for it? The next step tells.
#
# ## The account is closed
#
# Heat maps are easily drawn and hard to check. This one can be checked. It consists of cells, which `upsample=False` gives as they are; where they
# are larger than a pixel, the pictures above show them enlarged. Add up a map's cells, add the network's
# constant (its *[bias](../THEORY.md#g-bias)*), and you must get the logit, for every picture. Nothing is left over, nothing was made up.

# %%
cells = cv.attribution.grad_cam(model, images, upsample=False)
bias = cv.attribution.bias(model)[0]
sums = cv.attribution.adds_up(model)  # "", or why the maps of a network that ends in another way needn't add up
for i in range(len(images)):
    positive, negative = cells[i].clip(min=0).sum(), cells[i].clip(max=0).sum()
    equal = "≈" if sums else "="
    print(f"for {positive:6.2f}   against {negative:6.2f}   bias {bias:+.2f}   {equal}   logit {logits[i]:+.2f}")
surest = int(logits.argmin())
spread = -cells[surest].clip(max=0).sum()
print(f"\nAgainst a crack on the patch with the lowest logit: {spread:.1f} in {cells[surest].size:,} cells,", end=" ")
print(f"{max(-bias, 0):.1f} in the bias. More of it lies in the {'cells' if spread > -bias else 'bias'}.")

# %%
claim(
    "T0.2",
    "each map adds up to its logit less the bias",
    (np.abs(cells.sum(axis=(1, 2)) - (logits - bias)) / (1 + np.abs(logits))).max(),
    "<",
    1e-4,
    identity=True,
    unless=sums,
)

# %% [markdown]
# Look at the sound patches again, in the lines above. Evidence against a crack can be booked in two places. In the cells: there are
# so many of them that what is too pale to see in each may add up to several logits. Or in the bias, the network's
# starting value, which is the same for every picture. Which one holds more of it here, the last line says.
#
# The line above is a *claim*: a statement of [THEORY.md](../THEORY.md) that this notebook has just checked on its own numbers. In
# brackets stand what was measured and the bound that it must keep. If it were false, the notebook would stop here. The sign in front says what sort it is. A tick, ✓, is a
# *finding*: it could have come out otherwise. The sign ≡ marks an *identity*: algebra says that it must be so, and the claim checks the program.
#
# ## What you should doubt
#
# - That the account adds up doesn't make it *true*. A network that reads chalk marks has exact maps of chalk marks.
# - The network has seen patches of a few buildings, and of walls that a program made. About your wall it may be wrong, and sure of it.
# - A few pictures prove nothing, least of all the surest ones. Notebook 03 measures, on all the test pictures, with intervals.
#
# ## To remember
#
# - A classifier gives one number. A map says where the number comes from.
# - The logit is the number before the sigmoid; each unit multiplies the odds by about 2.7.
# - This map adds up: its cells sum to the logit less the bias.
# - Red speaks for a crack, blue against it; both are parts of one sum.
# - A map that adds up may still lie in the wrong place. That has to be tested.
#
# **Two questions**
#
# <details><summary>A patch has logit 0. What is its probability?</summary>
#
# One half: even odds.
#
# </details>
#
# <details><summary>Two patches have probability 0.9999 and 0.999999. Is there hardly a difference?</summary>
#
# There is: their logits are 9.2 and 13.8, half as much again.
#
# </details>
#
# ## Exercises
#
# ★ is read off, ★★ takes a line or two, ★★★ is written. Put your answer in place of the dots and run the cell: it tells you whether it is right, or what is wrong with it.
#
# **00.1** ★ A patch has $p = 0.5$. What does its map add up to: `"zero"`, `"the bias"`, `"minus the bias"` or `"one half"`?

# %% tags=["exercise"]
answer = ...
cv.series.exercise("00.1", answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# The logit of 0.5 is 0, and a map adds up to the logit less the bias.
#
# ```python
# answer = "minus the bias"
# ```
#
# </details>
#
# **00.2** ★ One patch has logit +3, a second one +2. The negative part of the second patch's map is twice as large as that of the first. Which of them has more evidence *for* a crack: `"the first"`, `"the second"`, or `"it can't be told"`?

# %% tags=["exercise"]
answer = ...
cv.series.exercise("00.2", answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# The logit is the balance. The second may have far more on both sides, or not: the sums "for" and "against" of the cell above tell.
#
# ```python
# answer = "it can't be told"
# ```
#
# </details>
#
# **00.3** ★★ Above, `cells` explains the answer "crack". Make the same map for the other answer, with `target="no_crack"`.

# %% tags=["exercise"]
answer = ...
cv.series.exercise("00.3", answer, of=(model, images))

# %% [markdown]
# <details><summary>Solution</summary>
#
# It is the first map with its sign turned. What speaks for the one answer speaks against the other.
#
# ```python
# answer = cv.attribution.grad_cam(model, images, target="no_crack", upsample=False)
# ```
#
# </details>
#
# **00.4** ★★★ Write `def answer(cells):` for maps of shape (pictures, rows, columns). It returns an array of shape (pictures, 2): the sum of what is positive in each map, and the sum of what is negative.

# %% tags=["exercise"]
answer = ...
cv.series.exercise("00.4", answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# Cut off at zero from below, then from above, and sum over rows and columns.
#
# ```python
# def answer(cells):
#     return np.stack([cells.clip(min=0).sum(axis=(1, 2)), cells.clip(max=0).sum(axis=(1, 2))], axis=1)
# ```
#
# </details>
#
# **To go on**, without a check:
#
# 1. Raise `n_images` and run the notebook again. Find a patch where the map surprises you.

# %%
cv.series.write_results(
    run,
    "00_start_here",
    {"pictures explained": len(images), "right of these": int(((probabilities >= 0.5) == labels).sum())},
)
