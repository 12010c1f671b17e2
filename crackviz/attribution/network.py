"""What every attribution method needs of a network: its logit, its layers, and a compiled way to both.

Everything that is traced is kept by model in `_CACHE`, takes any number of images, and reads the weights as they are
when it is called.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from crackviz import CrackvizError, contracts
from crackviz.attribution.pictures import cells
from crackviz.contracts import CLASS_NAMES
from crackviz.models.graph import AUGMENTING, images_of, tail, walk
from crackviz.models.known import check_input_range

Target = str | int
Layer = str | int
CHUNK = 16
"""Images that go through the network at once: their activations stay in the processor's cache."""
VECTOR = tf.TensorSpec((None,), tf.float32)

_FITTING: weakref.WeakKeyDictionary[keras.Model, set[tuple[int, ...]]] = weakref.WeakKeyDictionary()
"""Sides in px of images that a network is known to take."""
_CACHE: weakref.WeakKeyDictionary[keras.Model, dict[Hashable, Any]] = weakref.WeakKeyDictionary()


def logits(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Return the logits of `images`, float32 (N, H, W, 3) in [0, 1]: what the network computes before the activation.

    float32 (N,) for one sigmoid unit, (N, k) for k classes. A CrackvizError where the model doesn't end in Dense, with
    an activation in it or after it, or the images break the contract.
    """
    images = check_images(model, images)
    values = in_chunks(compiled(model, build_logits), images)
    return values[:, 0] if values.shape[1] == 1 else values


def bias(model: keras.Model) -> np.ndarray:
    """Return the bias of the logits: (1,) or (k,) float32, the part that no pixel accounts for."""
    dense = tail(model).layer
    return dense.bias.numpy() if dense.use_bias else np.zeros(dense.units, np.float32)


def check_network(model: keras.Model) -> tuple[int | None, int | None]:
    """Return height and width [px] of the images that a model takes; a CrackvizError where it can't be explained.

    It must take RGB images in [0, 1], be a graph with one answer, and have weights that are numbers.
    """
    height, width = images_of(model).shape[1:3]
    check_input_range(model)
    if not all(np.isfinite(weights).all() for weights in model.get_weights()):
        raise CrackvizError(
            f"{model.name!r} has weights that are NaN or infinite: its maps would say nothing. Train it anew."
        )
    return height, width


def check_images(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Return `images` if they are float32 (N, H, W, 3) in [0, 1], of the model's size; else raise a CrackvizError."""
    wanted = check_network(model)
    images = contracts.check_images(images)
    if any(side is not None and side != got for side, got in zip(wanted, images.shape[1:3], strict=True)):
        square = wanted[0] == wanted[1]
        how = f"Read them by data.load_images(paths, {wanted[0]})." if square else "Cut or resize them to that."
        raise CrackvizError(
            f"Images are {images.shape[1]} x {images.shape[2]} px, but the model takes {wanted[0]} x {wanted[1]}. {how}"
        )
    if (sides := images.shape[1:3]) not in _FITTING.setdefault(model, set()):
        _check_sides(model, *sides)
        _FITTING[model].add(sides)
    return images


def _check_sides(model: keras.Model, height: int, width: int) -> None:
    """Raise a CrackvizError where a network can't take images of this size, or TensorFlow's gradient is wrong there."""
    sized = model if None not in model.inputs[0].shape[1:3] else _sized(model, height, width)
    if sized is None:
        said = f"Images are {height} x {width} px, which {model.name!r}, though it takes more than one size, can't take"
        for step in (2, 4, 8, 16, 32):
            fits = height - height % step, width - width % step
            if min(fits) and _sized(model, *fits):
                raise CrackvizError(f"{said}. Cut them to {fits[0]} x {fits[1]}.")
        raise CrackvizError(f"{said}: they are too few for it, and a map would have no cell. Take larger ones.")
    for layer in sized._flatten_layers():
        if not isinstance(layer, keras.layers.AveragePooling2D) or layer.padding != "same":
            continue
        for node in layer._inbound_nodes:  # none within somebody's own layer, several where it is shared
            sides = node.input_tensors[0].shape[1:3]
            if any(side is not None and side < pool for side, pool in zip(sides, layer.pool_size, strict=True)):
                raise CrackvizError(
                    f"Layer {layer.name!r} of {model.name!r} averages over {' x '.join(map(str, layer.pool_size))} "
                    f"cells, but images of {height} x {width} px give it {sides[0]} x {sides[1]} cells alone. "
                    "TensorFlow's gradient is wrong there, and so were maps. Take larger images."
                )


def _sized(model: keras.Model, height: int, width: int) -> keras.Model | None:
    """Return the network for images of one size; None where its layers don't fit together for that."""
    try:
        return keras.models.clone_model(model, keras.Input((height, width, 3)))
    except ValueError:  # a map of no cell, or paths that don't meet
        return None
    except (TypeError, NotImplementedError):  # somebody's own layer that can't be copied: then nothing is told of sizes
        return model


def target_index(model: keras.Model, target: Target) -> tuple[int, float]:
    """Return which logit stands for `target`, and its sign: column, +1.0 or -1.0. A CrackvizError for no such class.

    `target` is "crack" or "no_crack", or the number of the class. With one logit, "no_crack" (0) is the same logit with
    the sign turned.
    """
    units = tail(model).layer.units
    classes = max(units, 2)
    if isinstance(target, str):
        if classes != 2 or target not in CLASS_NAMES:
            expected = " or ".join(map(repr, CLASS_NAMES)) if classes == 2 else f"0 … {classes - 1}"
            raise CrackvizError(f"target is {target!r}; expected {expected} for this model of {classes} classes.")
        target = CLASS_NAMES.index(target)
    if not isinstance(target, int | np.integer) or not 0 <= target < classes:
        raise CrackvizError(f"target is {target!r}; expected a class from 0 to {classes - 1}.")
    return (0, 1.0 if target == 1 else -1.0) if units == 1 else (int(target), 1.0)


def direction(model: keras.Model, target: Target) -> np.ndarray:
    """Return the (k,) float32 vector that turns the logits into the target's: its column, with its sign."""
    index, sign = target_index(model, target)
    vector = np.zeros(tail(model).layer.units, np.float32)
    vector[index] = sign
    return vector


def map_layers(model: keras.Model) -> dict[str, Any]:
    """Return the symbolic outputs of the layers that give maps (4-D), by name, in the order of the network."""
    return {name: step.output for name, step in walk(model).items() if step.inputs and len(step.output.shape) == 4}


def default_layer(model: keras.Model) -> str:
    """Return the name of the layer that is explained where none is named: the last with a map of H, W > 1."""
    names = [name for name, output in map_layers(model).items() if 1 not in output.shape[1:3]]
    if not names:
        raise CrackvizError(
            f"The model {model.name!r} has no layer with a map of more than one cell: there is nothing to draw."
        )
    return names[-1]


def layer_names(model: keras.Model, layer: Layer | Sequence[Layer] | None) -> tuple[str, ...]:
    """Return the names that `layer` stands for: None, a name, a rung of the ladder, or several of them."""
    if layer is None:
        return (default_layer(model),)
    several: Sequence[Any] = layer if isinstance(layer, list | tuple) else [layer]
    names = tuple(_layer_name(model, one) for one in several)
    if not names or len(set(names)) < len(names):
        raise CrackvizError(f"layer is {layer!r}; expected at least one layer, and each once.")
    return names


def channels_of(model: keras.Model, layer: Layer | Sequence[Layer] | None) -> int:
    """Return how many channels a layer's map has; of several layers, the first one's."""
    return int(map_layers(model)[layer_names(model, layer)[0]].shape[-1])


def _layer_name(model: keras.Model, layer: Layer) -> str:
    steps, maps = walk(model), map_layers(model)
    choices = ", ".join(maps)
    if isinstance(layer, int | np.integer) and not isinstance(layer, bool):
        if not -len(maps) <= layer < len(maps):
            raise CrackvizError(f"layer is {layer}, but the ladder has {len(maps)} rungs: {choices}.")
        return list(maps)[layer]
    if layer in maps:
        return str(layer)
    if layer in steps:
        shape = tuple(steps[str(layer)].output.shape)
        raise CrackvizError(f"Layer {layer!r} gives {shape}, no map of it; choose one of {choices}.")
    for outer, step in steps.items():
        if isinstance(step.layer, keras.Model) and any(inner.name == layer for inner in step.layer.layers):
            raise CrackvizError(
                f"Layer {layer!r} lies inside the nested model {outer!r}, out of reach of the gradient. Build the "
                f"network flat (an application takes input_tensor=…), or choose {outer!r} itself."
            )
    raise CrackvizError(f"There is no layer {layer!r}; choose one of {choices}.")


_IDLE = (keras.layers.Dropout, keras.layers.Identity, *AUGMENTING)
"""Layers that hand on what they get, outside a training."""


def pooling_after(model: keras.Model, name: str) -> Any | None:
    """Return the output of the global average that alone reads layer `name`; None where something else does."""
    readers = [step for step in walk(model).values() if name in step.inputs]
    pools = [step.output for step in readers if isinstance(step.layer, keras.layers.GlobalAveragePooling2D)]
    return pools[0] if len(readers) == 1 and pools and len(pools[0].shape) == 2 else None


def feeds_the_end(model: keras.Model, name: str) -> bool:
    """Tell whether layer `name` feeds a global average alone, and that the last Dense; Dropout between is nothing."""
    steps, reader = walk(model), tail(model).inputs[0]
    while isinstance(steps[reader].layer, _IDLE):
        reader = steps[reader].inputs[0]
    return pooling_after(model, name) is steps[reader].output


def adds_up(model: keras.Model, layer: Layer | None = None) -> str:
    """Return "" where Grad-CAM at a layer sums to the logit less the bias, exactly; else why it needn't.

    It does where nothing but a global average lies between the layer and the last Dense. Layers that flatten, or
    more than one Dense, bend the numbers: the map is then an approximation, as everywhere else. ``THEORY.md`` T6.
    """
    name = layer_names(model, layer)[0]
    if feeds_the_end(model, name):
        return ""
    names = list(walk(model))
    between = [step.layer for step in list(walk(model).values())[names.index(name) + 1 : names.index(_last(model))]]
    kinds = ", ".join(dict.fromkeys(type(one).__name__ for one in between)) or "no global average"
    return f"between {name} and the last layer lies {kinds}, where a sum needs a global average alone"


def _last(model: keras.Model) -> str:
    end = tail(model)
    return next(name for name, step in walk(model).items() if step.layer is end.layer)


class Network:
    """A model cut open at some layers, for use inside a ``tf.function``.

    It holds the model's layers, not the model: what is kept in `_CACHE` must not keep its own key alive.
    """

    def __init__(self, model: keras.Model, layers: Sequence[str] = ()) -> None:
        maps, steps, end = map_layers(model), walk(model), tail(model)
        pools = [pooling_after(model, name) for name in layers]
        self.dense = end.layer
        self.linear = all(feeds_the_end(model, name) for name in layers)
        self.signature = tf.TensorSpec((None, *model.inputs[0].shape[1:]), tf.float32)
        # The gradient behind a global average is the same in every cell, so it is taken where it is still small.
        sources = [maps[name] if pool is None else pool for name, pool in zip(layers, pools, strict=True)]
        features = steps[end.inputs[0]].output
        self.network = keras.Model(model.inputs[0], [[maps[name] for name in layers], sources, features])

    def logits(self, features: tf.Tensor) -> tf.Tensor:
        """Return the logits (N, k), float32, of what the last layer reads."""
        values = tf.matmul(tf.cast(features, tf.float32), tf.cast(self.dense.kernel, tf.float32))
        return values + tf.cast(self.dense.bias, tf.float32) if self.dense.use_bias else values

    def __call__(self, images: tf.Tensor) -> tf.Tensor:
        """Return the logits (N, k) of `images`."""
        return self.logits(self.network(images, training=False)[2])

    def many(self, variants: tf.Tensor) -> tf.Tensor:
        """Return the logits (n, s, k) of s variants (n, s, H, W, 3) of each of n images."""
        return tf.reshape(self(self._flat(variants)), (*tf.unstack(tf.shape(variants)[:2]), self.dense.units))

    def activations(self, images: tf.Tensor) -> list[tf.Tensor]:
        """Return the maps (N, h, w, C) of each layer, float32."""
        return [tf.cast(maps, tf.float32) for maps in self.network(images, training=False)[0]]

    def evidence(self, images: tf.Tensor, direction: tf.Tensor) -> list[tuple[tf.Tensor, tf.Tensor]]:
        """Return each layer's activations A and the gradients of the target's logit by them.

        Where the gradient is the same in every cell it is (N, 1, 1, C), else (N, h, w, C). Where nothing but the
        average and the last layer follows, it is made of that layer's weights, the same for all images: (1, 1, 1, C).
        """
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(images)
            maps, sources, features = self.network(images, training=False)
            score = tf.tensordot(self.logits(features), direction, 1)
        if self.linear:  # the tape isn't asked, so nothing goes back
            gradients = [tf.tensordot(tf.cast(self.dense.kernel, tf.float32), direction, 1)[tf.newaxis]] * len(maps)
        else:
            gradients = tape.gradient(score, sources, unconnected_gradients="zero")
        pairs = []
        for A, G in zip(maps, gradients, strict=True):
            A, G = tf.cast(A, tf.float32), tf.cast(G, tf.float32)
            pairs.append((A, G[:, tf.newaxis, tf.newaxis] / cells(A) if len(G.shape) == 2 else G))  # behind the average
        return pairs

    def gradient(self, images: tf.Tensor, direction: tf.Tensor) -> tf.Tensor:
        """Return the gradient (N, H, W, 3) of the target's logit by the pixels."""
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(images)
            score = tf.tensordot(self(images), direction, 1)
        return tape.gradient(score, images, unconnected_gradients="zero")

    def many_gradients(self, variants: tf.Tensor, direction: tf.Tensor) -> tf.Tensor:
        """Return the gradients (n, s, H, W, 3) for s variants of each of n images."""
        return tf.reshape(self.gradient(self._flat(variants), direction), tf.shape(variants))

    def _flat(self, variants: tf.Tensor) -> tf.Tensor:
        flat = tf.reshape(variants, tf.concat([[-1], tf.shape(variants)[2:]], 0))
        return tf.ensure_shape(flat, self.signature.shape)


def compiled(model: keras.Model, build: Callable[..., Any], layers: Sequence[str] = (), *options: Hashable) -> Any:
    """Return ``build(Network(model, layers), *options)``, made once for each model."""
    made, steps = _CACHE.setdefault(model, {}), walk(model)
    activations = [getattr(layer, "activation", None) for layer in model._flatten_layers()]
    if made.get("of") is not steps or made["activations"] != activations:  # a Sequential, or a layer, was changed since
        made.clear()
        made["of"], made["activations"] = steps, activations
    key = (build, tuple(layers), options)
    if key not in made:
        made[key] = build(Network(model, layers), *options)
    return made[key]


def build_logits(network: Network) -> Any:
    """Return images -> logits (N, k)."""
    return tf.function(network, input_signature=[network.signature])


def chunks(images: np.ndarray) -> Iterator[slice]:
    """Cut N images into the chunks that go through the network at once."""
    return (slice(start, start + CHUNK) for start in range(0, len(images), CHUNK))


def in_chunks(explain: Callable[..., Any], images: np.ndarray) -> np.ndarray:
    """Explain some images after the others, by ``explain(images)``, into one array."""
    values = np.empty(0)
    for some in chunks(images):
        part = np.asarray(explain(images[some]))
        if not some.start:
            values = np.empty((len(images), *part.shape[1:]), part.dtype)
        values[some] = part
    return values
