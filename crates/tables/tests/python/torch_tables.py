"""The network for tables in plain torch, to hold our weights against torch's. Needs torch and safetensors.

    torch_tables.py golden FOLDER
        the files that this repository keeps in tests/golden: FOLDER/MODEL.safetensors, FOLDER/MODEL.json

The weights of a run load strictly: `build(settings).load_state_dict(load_file("model.safetensors"))`. Codes of categories
begin at 1, 0 is the unknown one; numbers are standardised. Both are as preprocessing.json of the run says.
"""

import json
import os
import sys

import torch
from safetensors.torch import save_file
from torch import nn


class Mlp(nn.Module):
    """`embeddings.0.weight`, ..., `layers.0.weight`, `layers.0.bias`, ...; ReLU after all layers but the last."""

    def __init__(self, numbers, categories, outputs, hidden, embedding):
        super().__init__()
        self.embeddings = nn.ModuleList(nn.Embedding(count + 1, embedding) for count in categories)
        widths = [numbers + embedding * len(categories), *hidden, outputs]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(widths, widths[1:]))

    def forward(self, numbers, codes):
        x = torch.cat([numbers, *(embed(codes[:, at]) for at, embed in enumerate(self.embeddings))], 1)
        for layer in self.layers[:-1]:
            x = layer(x).relu()
        return self.layers[-1](x)


def build(settings):
    return Mlp(**settings)


def as_json(tensor):
    return {"shape": list(tensor.shape), "values": [float(f"{value:.9g}") for value in tensor.flatten().tolist()]}


def golden(folder):
    settings = {
        "classes": {"numbers": 3, "categories": [4, 2], "outputs": 3, "hidden": [6, 5], "embedding": 2},
        "number": {"numbers": 2, "categories": [], "outputs": 1, "hidden": [], "embedding": 1},
        "ids": {"numbers": 0, "categories": [7], "outputs": 2, "hidden": [4], "embedding": 3},
    }
    for name, settings in settings.items():
        torch.manual_seed(7)
        model = build(settings)
        numbers = torch.randn(5, settings["numbers"])
        columns = [torch.randint(count + 1, (5, 1)) for count in settings["categories"]]
        codes = torch.cat(columns, 1) if columns else torch.zeros(5, 0, dtype=torch.int64)
        with torch.no_grad():
            outputs = model(numbers, codes)
        path = os.path.join(folder, name)
        save_file(model.state_dict(), path + ".safetensors", metadata={"format": "pt"})
        with open(path + ".json", "w") as file:
            fields = {"settings": settings, "numbers": as_json(numbers), "codes": codes.tolist(), "outputs": as_json(outputs)}
            json.dump(fields, file)
            file.write("\n")


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] != "golden":
        sys.exit(__doc__)
    golden(sys.argv[2])
