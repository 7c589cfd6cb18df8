"""PyTorch, beside Weft: Debian's 1.13, or what is current. See peer.py.

Variants: the layout of images (contiguous NCHW, or channels_last), eager or through torch.compile; for
inference also a trace that torch.jit freezes and optimizes. The optimizer is the fastest that there is.
"""

import peer

given = peer.options(__doc__)

import torch  # noqa: E402  (threads come first)
from torch import nn  # noqa: E402

torch.set_num_threads(given.threads)
torch.set_num_interop_threads(1)
torch.manual_seed(1)

COMPILES = hasattr(torch, "compile")
TRAIN = ["nchw", "channels_last"] + (["compile nchw", "compile channels_last"] if COMPILES else [])
INFER = ["nchw", "channels_last", "jit"] + (["compile"] if COMPILES else [])


class Block(nn.Module):
    """ResNet's basic block."""

    def __init__(self, before, channels, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(before, channels, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Identity()
        if stride != 1 or before != channels:
            self.shortcut = nn.Sequential(nn.Conv2d(before, channels, 1, stride, bias=False),
                                          nn.BatchNorm2d(channels))
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        y = self.relu(self.norm1(self.conv1(x)))
        return self.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


def network(name):
    """The models of bench/models; they return logits."""
    if name == "tutorial":
        return nn.Sequential(nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2),
                             nn.Flatten(), nn.Linear(32 * 14 * 14, 16), nn.ReLU(inplace=True),
                             nn.Linear(16, 10))
    layers, before = [], 3
    if name == "vgg":
        for channels in (64, 128, 256):
            for _ in range(2):
                layers += [nn.Conv2d(before, channels, 3, padding=1), nn.ReLU(inplace=True)]
                before = channels
            layers.append(nn.MaxPool2d(2))
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(256 * 4 * 4, 256), nn.ReLU(inplace=True),
                             nn.Linear(256, 10))
    layers += [nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True)]
    before = 64
    for channels, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        for step in (stride, 1):
            layers.append(Block(before, channels, step))
            before = channels
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))


def fastest_adam(model):
    """Adam as one loop over all parameters, as lists of them, or one by one: the fastest here."""
    best = None
    for way in ({"fused": True}, {"foreach": True}, {"foreach": False}):
        twin = [p.detach().clone().requires_grad_() for p in model.parameters()]
        for p in twin:
            p.grad = torch.zeros_like(p)
        try:
            adam = torch.optim.Adam(twin, lr=1e-3, **way)
            seconds = peer.warm(adam.step)
        except (RuntimeError, TypeError):  # not in this version, or not on CPUs
            continue
        if best is None or seconds < best[0]:
            best = (seconds, way)
    return torch.optim.Adam(model.parameters(), lr=1e-3, **best[1])


def layout_of(variant):
    return torch.channels_last if "channels_last" in variant else torch.contiguous_format


def placed(variant, *size):
    return torch.rand(*size).contiguous(memory_format=layout_of(variant))


def trainer(variant):
    """Model, and a function of (images, classes) that does one step."""
    model = network(given.model).to(memory_format=layout_of(variant)).train()
    adam = fastest_adam(model)
    loss_of = nn.CrossEntropyLoss()

    def loss(x, y):
        return loss_of(model(x), y)

    forward = torch.compile(loss, dynamic=False) if "compile" in variant else loss

    def step(x, y):
        adam.zero_grad(set_to_none=True)
        forward(x, y).backward()
        adam.step()

    return model, step


def train(variant, size):
    model, step = trainer(variant)
    x = placed(variant, given.batch, *size)
    y = torch.arange(given.batch) % 10
    return model, peer.measure(given, lambda: step(x, y))


def epochs(variant):
    """The data set in memory, a batch by its indices: no loader, whose work would only cost time."""
    x, y, test_x, test_y = (torch.from_numpy(part) for part in peer.mnist(given.data))
    x = x[:, None].contiguous(memory_format=layout_of(variant))
    test_x = test_x[:, None].contiguous(memory_format=layout_of(variant))
    model, step = trainer(variant)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    rest = len(x) % given.batch
    for count in (given.batch, rest) if rest else (given.batch,):
        peer.warm(lambda: step(x[:count], y[:count]))  # and compiles, before the clock runs
    model.load_state_dict(state)
    seconds = []
    for epoch in range(given.epochs):
        start = peer.time.perf_counter()
        for rows in peer.batches(len(x), given.batch, epoch):
            rows = torch.from_numpy(rows)
            step(x[rows], y[rows])
        seconds.append(peer.time.perf_counter() - start)
    model.eval()
    with torch.no_grad():
        predicted = torch.cat([model(part).argmax(1) for part in test_x.split(256)])
    return model, seconds, len(x), (predicted == test_y).double().mean()


def infer(variant, size):
    model = nn.Sequential(network(given.model), nn.Softmax(1))
    model = model.to(memory_format=layout_of(variant)).eval()
    x = placed(variant, given.batch, *size)
    with torch.inference_mode(mode="compile" not in variant), torch.no_grad():
        run = model
        if variant == "jit":
            run = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(model, x)))
        if variant == "compile":
            from torch._inductor import config

            config.freezing = True  # weights are constants: they are folded, and packed for oneDNN
            run = torch.compile(model, dynamic=False)
        return model, peer.measure(given, lambda: run(x))


def main():
    if given.task == "about":
        peer.about("pytorch", torch.__version__, TRAIN, INFER)
        return
    variant = given.variant or "channels_last"
    height, width, channels = peer.SIZES[given.model]
    size = (channels, height, width)
    images = accuracy = None
    if given.epochs:
        model, seconds, images, accuracy = epochs(variant)
    else:
        model, seconds = (train if given.task == "train" else infer)(variant, size)
    parameters = sum(p.numel() for p in model.parameters())
    peer.report(given, "pytorch", variant, seconds, parameters, images, accuracy)


main()
