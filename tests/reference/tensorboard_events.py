"""Writes a file of events with TensorBoard's own writer, so that the reader of tests/io_tensorboard.cpp
is one that reads what others write, too.

    python3 -m venv /tmp/tensorboard
    /tmp/tensorboard/bin/pip install tensorboard==2.21.0
    /tmp/tensorboard/bin/python tests/reference/tensorboard_events.py
"""

import struct
from pathlib import Path

from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.summary.writer.record_writer import RecordWriter

FILE = Path(__file__).parent / "data/tensorboard/events.out.tfevents.1700000000.host.1.0.v2"


def main():
    FILE.parent.mkdir(parents=True, exist_ok=True)
    value = summary_pb2.Summary.Value
    graph = value(tag="keras")
    graph.tensor.dtype = 7
    graph.tensor.tensor_shape.SetInParent()
    graph.tensor.string_val.append(b"{}")
    graph.metadata.plugin_data.plugin_name = "graph_keras_model"
    graph.metadata.plugin_data.content = b"1"
    histogram = value(tag="dense/kernel/histogram")
    histogram.histo.min, histogram.histo.max = -1, 2
    histogram.histo.num, histogram.histo.sum, histogram.histo.sum_squares = 3, 1, 5
    histogram.histo.bucket_limit.extend([0.5, 2])
    histogram.histo.bucket.extend([2, 1])
    loss = struct.unpack("f", struct.pack("f", 0.1))[0]
    with open(FILE, "wb") as file:
        writer = RecordWriter(file)
        for event in (
            event_pb2.Event(wall_time=1.7e9, file_version="brain.Event:2"),
            event_pb2.Event(wall_time=1.7e9, summary=summary_pb2.Summary(value=[graph])),
            event_pb2.Event(wall_time=1.7e9, step=300,
                            summary=summary_pb2.Summary(value=[value(tag="epoch_loss", simple_value=loss),
                                                               value(tag="epoch_zero", simple_value=0),
                                                               histogram])),
        ):
            writer.write(event.SerializeToString())
        writer.flush()


if __name__ == "__main__":
    main()
