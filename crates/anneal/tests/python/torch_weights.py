"""The reference models in plain torch, to hold our weights against torch's arithmetic. Needs torch and safetensors.

    torch_weights.py logits MODEL WEIGHTS INPUTS.json
        loads WEIGHTS (safetensors or .pt) strictly, prints the logits of the inputs as JSON
    torch_weights.py make MODEL CHANNELS SIZE FOLDER
        draws weights, writes FOLDER/MODEL.safetensors, FOLDER/MODEL.pt, FOLDER/MODEL-legacy.pt (the format before
        torch 1.6) and FOLDER/MODEL.json with inputs and logits
    torch_weights.py golden FOLDER
        the files that this repository keeps beside this script

MODEL is one of mlp, lenet, resnet8, small. INPUTS.json: {"shape": [n, c, h, w], "values": [...]}.
"""

import json
import os
import sys

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

CLASSES = 10


class Mlp(nn.Module):
    """`layers.0`, `layers.1`, ...: linear, with ReLU between."""

    def __init__(self, channels, size, hidden=(32, 16)):
        super().__init__()
        widths = [channels * size * size, *hidden, CLASSES]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(widths, widths[1:]))

    def forward(self, x):
        x = self.layers[0](x.flatten(1))
        for layer in self.layers[1:]:
            x = layer(F.relu(x))
        return x


class LeNet(nn.Module):
    def __init__(self, channels, size):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 8, 5, padding=2)
        self.conv2 = nn.Conv2d(8, 16, 5, padding=2)
        self.fc1 = nn.Linear(16 * (size // 4) ** 2, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, CLASSES)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.relu(self.fc1(x.flatten(1)))
        return self.fc3(F.relu(self.fc2(x)))


class Block(nn.Module):
    def __init__(self, before, channels, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(before, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = None
        if stride != 1 or before != channels:
            self.downsample = nn.Sequential(nn.Conv2d(before, channels, 1, stride, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet8(nn.Module):
    def __init__(self, channels, _size):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(Block(16, 16, 1))
        self.layer2 = nn.Sequential(Block(16, 32, 2))
        self.layer3 = nn.Sequential(Block(32, 64, 2))
        self.fc = nn.Linear(64, CLASSES)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(x.mean((2, 3)))


class Small(nn.Module):
    """A convolution, a batch norm and a linear layer, one kilobyte: for the tests of crates/trainer."""

    def __init__(self, channels, size):
        super().__init__()
        self.conv = nn.Conv2d(channels, 2, 3, padding=1)
        self.bn = nn.BatchNorm2d(2)
        self.fc = nn.Linear(2 * size * size, 3)

    def forward(self, x):
        return self.fc(F.relu(self.bn(self.conv(x))).flatten(1))


MODELS = {"mlp": Mlp, "lenet": LeNet, "resnet8": ResNet8, "small": Small}


def logits(model, inputs):
    model.eval()
    with torch.no_grad():
        return model(inputs)


def as_json(tensor):
    return {"shape": list(tensor.shape), "values": [float(f"{value:.9g}") for value in tensor.flatten().tolist()]}


def make(name, channels, size, folder, images=2, seed=7):
    torch.manual_seed(seed)
    model = MODELS[name](channels, size)
    # Statistics and factors of batch norm away from 0 and 1.
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    model.train()
    for _ in range(3):
        model(torch.randn(16, channels, size, size) * 2 + 1)
    # Two decimals: short in JSON, and exact enough to be read back as the same float.
    inputs = (torch.randn(images, channels, size, size) * 100).round() / 100
    path = os.path.join(folder, name)
    state = model.state_dict()
    save_file(state, path + ".safetensors", metadata={"format": "pt"})
    torch.save(state, path + ".pt")
    torch.save(state, path + "-legacy.pt", _use_new_zipfile_serialization=False)
    with open(path + ".json", "w") as file:
        json.dump({"inputs": as_json(inputs), "logits": as_json(logits(model, inputs))}, file)
        file.write("\n")


def read(path):
    return load_file(path) if path.endswith(".safetensors") else torch.load(path, weights_only=True)


def main():
    command, *arguments = sys.argv[1:]
    if command == "make":
        name, channels, size, folder = arguments
        make(name, int(channels), int(size), folder)
    elif command == "golden":
        # lenet: two files of 88 kB; small: the older format too.
        (folder,) = arguments
        make("lenet", 1, 8, folder)
        os.remove(os.path.join(folder, "lenet-legacy.pt"))
        make("small", 2, 4, folder)
    elif command == "logits":
        name, weights, inputs = arguments
        with open(inputs) as file:
            given = json.load(file)
        x = torch.tensor(given["values"]).reshape(given["shape"])
        model = MODELS[name](x.shape[1], x.shape[2])
        model.load_state_dict(read(weights), strict=True)
        json.dump(as_json(logits(model, x)), sys.stdout)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
