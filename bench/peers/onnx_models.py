"""Writes a model of bench/models as ONNX, for onnxruntime: random weights, a batch of fixed size.

    onnx_models.py MODEL BATCH FILE
"""

import math
import sys

import numpy
import onnx
from onnx import helper, numpy_helper


class Net:
    """Nodes and weights; each method appends an op and returns its output's name."""

    def __init__(self):
        self.nodes, self.weights, self.parameters = [], [], 0
        self.random = numpy.random.default_rng(1)

    def op(self, kind, *inputs, **attributes):
        output = f"{kind}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def weight(self, values, trained=True):
        values = numpy.asarray(values, numpy.float32)
        name = f"weight{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(values, name))
        self.parameters += values.size if trained else 0
        return name

    def random_weight(self, *shape):
        return self.weight(self.random.normal(0, 1 / math.sqrt(numpy.prod(shape[1:])), shape))

    def conv(self, x, before, channels, size=3, stride=1, bias=True):
        inputs = [x, self.random_weight(channels, before, size, size)]
        if bias:
            inputs.append(self.weight(numpy.zeros(channels)))
        return self.op("Conv", *inputs, pads=[size // 2] * 4, strides=[stride] * 2, kernel_shape=[size] * 2)

    def norm(self, x, channels):
        ones, zeros = numpy.ones(channels), numpy.zeros(channels)
        return self.op("BatchNormalization", x, self.weight(ones), self.weight(zeros),
                       self.weight(zeros, trained=False), self.weight(ones, trained=False))

    def dense(self, x, before, units):
        return self.op("Gemm", x, self.random_weight(units, before), self.weight(numpy.zeros(units)), transB=1)

    def relu(self, x):
        return self.op("Relu", x)

    def pool(self, x):
        return self.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])

    def block(self, x, before, channels, stride):
        """ResNet's basic block."""
        y = self.relu(self.norm(self.conv(x, before, channels, 3, stride, bias=False), channels))
        y = self.norm(self.conv(y, channels, channels, bias=False), channels)
        if stride != 1 or before != channels:
            x = self.norm(self.conv(x, before, channels, 1, stride, bias=False), channels)
        return self.relu(self.op("Add", y, x))


def logits(net, model, x):
    if model == "tutorial":
        x = net.op("Flatten", net.pool(net.relu(net.conv(x, 1, 32))))
        return net.dense(net.relu(net.dense(x, 32 * 14 * 14, 16)), 16, 10)
    before = 3
    if model == "vgg":
        for channels in (64, 128, 256):
            for _ in range(2):
                x = net.relu(net.conv(x, before, channels))
                before = channels
            x = net.pool(x)
        return net.dense(net.relu(net.dense(net.op("Flatten", x), 256 * 4 * 4, 256)), 256, 10)
    x = net.relu(net.norm(net.conv(x, before, 64, bias=False), 64))
    before = 64
    for channels, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        for step in (stride, 1):
            x = net.block(x, before, channels, step)
            before = channels
    return net.dense(net.op("Flatten", net.op("GlobalAveragePool", x)), 512, 10)


def main():
    model, batch, file = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    size = [1, 28, 28] if model == "tutorial" else [3, 32, 32]
    net = Net()
    output = net.op("Softmax", logits(net, model, "x"), axis=1)
    number = onnx.TensorProto.FLOAT
    graph = helper.make_graph(net.nodes, model,
                              [helper.make_tensor_value_info("x", number, [batch, *size])],
                              [helper.make_tensor_value_info(output, number, [batch, 10])], net.weights)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(made, {"parameters": str(net.parameters)})
    onnx.checker.check_model(made)
    onnx.save(made, file)
    print(net.parameters)


main()
