"""Other packages' maps of one small network, which the tests hold against this package's.

    python benchmarks/reference_maps.py tests/attribution/reference_maps.json

Runs in an environment of its own, with torch, captum and grad-cam (pip install torch captum grad-cam); crackviz needs
none of them and isn't imported. The network: Conv2d(3, 4, 3, padding=1), MaxPool2d(2), Conv2d(4, 5, 3, padding=1),
ReLU, mean over the map, Linear(5, 1). There is no ReLU beside the max-pooling: with one, captum 0.9.0's DeepLIFT
doesn't sum to the difference, as its own convergence delta says. Its weights and pictures are written out with the
maps, in the order of Keras' axes: kernels (height, width, in, out), pictures (N, H, W, 3).
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from captum.attr import DeepLift
from pytorch_grad_cam import GradCAMPlusPlus
from pytorch_grad_cam.utils.model_targets import RawScoresOutputTarget


class Network(torch.nn.Module):
    """Two convolutions, a mean, one logit."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = (torch.nn.Conv2d(*shape, 3, padding=1) for shape in ((3, 4), (4, 5)))
        self.pool, self.relu = torch.nn.MaxPool2d(2), torch.nn.ReLU()
        self.mean, self.flat, self.logit = torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(5, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits (N, 1) of pictures (N, 3, H, W)."""
        x = self.relu(self.second(self.pool(self.first(x))))
        return self.logit(self.flat(self.mean(x)))


def rounded(values: np.ndarray) -> list:
    return np.asarray(values, np.float64).round(7).tolist()


def plus_plus(model: Network, layer: torch.nn.Module, images: torch.Tensor) -> np.ndarray:
    """Return the maps before they are enlarged and scaled, which the package keeps to itself."""
    method, targets = GradCAMPlusPlus(model, [layer]), [RawScoresOutputTarget()] * len(images)
    method(images, targets)
    seen = method.activations_and_grads
    return method.get_cam_image(images, layer, targets, seen.activations[0].numpy(), seen.gradients[0].numpy())


def main(path: str) -> None:
    torch.manual_seed(3)
    rng = np.random.default_rng(3)
    model = Network().eval()
    kernels = [rng.normal(0, 0.5, shape).round(3) for shape in ((3, 3, 3, 4), (3, 3, 4, 5), (5, 1))]
    biases = [rng.normal(0, 0.3, size).round(3) for size in (4, 5, 1)]
    biases[0] += 2  # so that no activation of the first layer is negative
    with torch.no_grad():
        for layer, kernel, bias in zip((model.first, model.second, model.logit), kernels, biases, strict=True):
            axes = (3, 2, 0, 1) if kernel.ndim == 4 else (1, 0)
            layer.weight.copy_(torch.tensor(kernel.transpose(axes).copy()))
            layer.bias.copy_(torch.tensor(bias))
    pictures, other = (rng.random((2, 6, 8, 3)).round(3) for _ in range(2))
    x, r = (torch.tensor(np.moveaxis(one, -1, 1).copy(), dtype=torch.float32) for one in (pictures, other))
    kept = {
        "made by": {name: version(name) for name in ("torch", "captum", "grad-cam")},
        "kernels": [kernel.tolist() for kernel in kernels],
        "biases": [bias.tolist() for bias in biases],
        "pictures": pictures.tolist(),
        "references": other.tolist(),
        "logits": rounded(model(x).detach().numpy()[:, 0]),
        "captum DeepLift, against the references": rounded(DeepLift(model).attribute(x, r).sum(dim=1).detach().numpy()),
        "captum DeepLift, against black": rounded(
            DeepLift(model).attribute(x, torch.zeros_like(x)).sum(dim=1).detach().numpy()
        ),
        "grad-cam GradCAMPlusPlus, last layer": rounded(plus_plus(model, model.relu, x)),
        "grad-cam GradCAMPlusPlus, first layer": rounded(plus_plus(model, model.pool, x)),
    }
    Path(path).write_text(json.dumps(kept) + "\n", "utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
