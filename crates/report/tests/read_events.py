"""Prints what TensorBoard finds in a folder of event files: one line per value, fields separated by tabs.

Run by tests/tensorboard.rs with the interpreter that ANNEAL_PYTHON names (`pip install tensorboard`).
"""

import json
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

found = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0, "tensors": 0})
found.Reload()
tags = found.Tags()
for tag in tags["scalars"]:
    for event in found.Scalars(tag):
        print("scalar", tag, event.step, repr(float(event.value)), sep="\t")
for tag in tags["tensors"]:
    metadata = found.SummaryMetadata(tag)
    assert metadata.plugin_data.plugin_name == "text", metadata
    for event in found.Tensors(tag):
        print("text", tag, json.dumps(event.tensor_proto.string_val[0].decode()), sep="\t")
