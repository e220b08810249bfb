"""Mistakes in the GPT."""

from workloads.mistakes import module, shared


def method(owner, name, replacement):
    """`replacement` in place of a method of one of the reference's classes."""
    return lambda: [(getattr(module("numpy.gpt"), owner), name, replacement)]


def no_mask(self, context):  # noqa: ARG001
    import numpy as np

    return np.zeros((context, context), bool)


def not_scaled(self, size):  # noqa: ARG001
    return 1.0


def tanh_gelu():
    """0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³))), the approximation that GPT-2 has."""
    import numpy as np

    layer = module("numpy.layers").Layer
    root, cubic = (2 / np.pi) ** 0.5, 0.044715

    class TanhGelu(layer):
        def forward(self, x):
            self.x = x
            self.tanh = np.tanh(root * (x + cubic * x**3))
            return 0.5 * x * (1 + self.tanh)

        def backward(self, dy):
            slope = root * (1 + 3 * cubic * self.x**2) * (1 - self.tanh**2)
            return dy * 0.5 * (1 + self.tanh + self.x * slope)

    return [(module("numpy.gpt"), "Gelu", TanhGelu)]


def layer_norm_epsilon(epsilon):
    return lambda: [(module("numpy.gpt"), "EPSILON", epsilon)]


def variant(**methods):
    """The model with other methods; each gets the reference's class first, then the model."""

    def replacements():
        original = module("numpy.gpt").Gpt

        def bound(change):
            return lambda self, *arguments: change(original, self, *arguments)

        found = {"forward": original.forward, "backward": original.backward}
        found.update((name, bound(change)) for name, change in methods.items())
        return [(module("numpy.gpt"), "Gpt", type("Variant", (original,), found))]

    return replacements


def untied(original, self, weights, *others):
    """The trained and the scored model get the same weights, and so the same head."""
    original.__init__(self, weights, *others)
    head = weights.setdefault("head.weight", weights["token.weight"].copy())
    self.head = module("numpy.gpt").Linear(head)


def untied_parameters(original, self):
    return dict(original.parameters(self), **{"head.weight": self.head.parameters[0]})


def untied_gradients(original, self):
    found = dict(original.gradients(self), **{"head.weight": self.head.gradients[0]})
    return dict(found, **{"token.weight": self.embedding.gradients[0]})


def norm_after(original, self, ids):  # noqa: ARG001
    """x ← LN(x + branch(x)), as in the first transformers."""
    forward = module("numpy.layers").forward
    x = forward(self.dropout, self.embedding.forward(ids))
    for norm, *rest in self.branches:
        x = norm.forward(x + forward(rest, x))
    return self.head.forward(self.norm.forward(x))


def back_through_norm_after(original, self, dlogits):  # noqa: ARG001
    backward = module("numpy.layers").backward
    dx = self.norm.backward(self.head.backward(dlogits))
    for norm, *rest in reversed(self.branches):
        dx = norm.backward(dx)
        dx = dx + backward(rest, dx)
    self.embedding.backward(backward(self.dropout, dx))


def updated(optimizer, w, g, moments, lr, decay, **rates):
    """One step of AdamW, as the reference has it but for the `rates` given here."""
    beta1, beta2 = rates.get("beta1", optimizer.beta1), rates.get("beta2", optimizer.beta2)
    m, v = moments
    m *= beta1
    m += (1 - beta1) * g
    v *= beta2
    v += (1 - beta2) * g * g
    w *= 1 - lr * decay
    w -= lr * (m / (1 - beta1**optimizer.t)) / ((v / (1 - beta2**optimizer.t)) ** 0.5 + optimizer.epsilon)


def coupled(self, w, g, moments, lr, decay):
    updated(self, w, g + decay * w, moments, lr, 0.0)


def beta2_0_999(self, w, g, moments, lr, decay):
    updated(self, w, g, moments, lr, decay, beta2=0.999)


def roughly(self, w, g, moments, lr, decay):
    """No mistake: some frameworks keep the decay rates in float32."""
    beta1, beta2 = w.dtype.type(self.beta1), w.dtype.type(self.beta2)
    updated(self, w, g, moments, lr, decay, beta1=beta1, beta2=beta2)


def all_decay(self, gradients, lr):
    self.t += 1
    for name, w in self.weights.items():
        self.update(w, gradients[name], self.moments[name], lr, self.decay)


def clipping(change):
    """`change(clipped, gradients, largest)` in place of the reference's clipping."""

    def replacements():
        original = module("numpy.gpt").clipped
        return [(module("numpy.gpt"), "clipped", lambda *arguments: change(original, *arguments))]

    return replacements


def one_by_one(original, gradients, largest):
    return {name: original({name: g}, largest)[name] for name, g in gradients.items()}


def not_clipped(original, gradients, largest):  # noqa: ARG001
    return gradients


def one_step_late():
    original = module("numpy.gpt").learning_rate
    return [(module("numpy.gpt"), "learning_rate", lambda step, **settings: original(step + 1, **settings))]


def position_shifted():
    """The characters of a window have the places 1, 2, …, 0 instead of 0, 1, …"""
    import numpy as np

    embedding = module("numpy.gpt").Embedding
    original = embedding.backward

    def forward(self, ids):
        token, position = self.parameters
        self.ids = ids
        return (token[ids] + np.roll(position, -1, axis=0)).reshape(ids.size, -1)

    def backward(self, dy):
        original(self, dy)
        self.gradients[1] = np.roll(self.gradients[1], 1, axis=0)

    return [(embedding, "forward", forward), (embedding, "backward", backward)]


def last_position():
    """The loss of the last character of each window only."""
    import numpy as np

    gpt = module("numpy.gpt")
    forward, loss_function = gpt.Gpt.forward, gpt.softmax_cross_entropy
    shape = []

    def noticed(self, ids):
        shape[:] = ids.shape
        return forward(self, ids)

    def loss_of_last(logits, labels):
        last = np.arange(1, shape[0] + 1) * shape[1] - 1
        loss, dlast = loss_function(logits[last], labels[last])
        dlogits = np.zeros_like(logits)
        dlogits[last] = dlast
        return loss, dlogits

    return [(gpt.Gpt, "forward", noticed), (gpt, "softmax_cross_entropy", loss_of_last)]


def not_shifted():
    """Every character is its own label."""
    job = module("common.bench").Job
    windows = job.windows

    def changed(self, *arguments, **options):
        x_train, _, x_test, _ = windows(self, *arguments, **options)
        return [x_train, x_train, x_test, x_test]

    return [(job, "windows", changed)]


def dropout(trained=None, scored=None):
    """`trained` and `scored` are the rates of the two models, where they are not those of the reference."""

    def replacements():
        original = module("numpy.gpt").Gpt
        models = []

        def init(self, weights, settings, rate, generator):
            models.append(self)
            wrong = trained if len(models) == 1 else scored
            original.__init__(self, weights, settings, rate if wrong is None else wrong(settings), generator)

        return [(module("numpy.gpt"), "Gpt", type("Variant", (original,), {"__init__": init}))]

    return replacements


ROUNDINGS = [method("AdamW", "update", roughly)]
PLANTS = {
    "no-causal-mask": method("Attention", "hidden", no_mask),
    "attention-unscaled": method("Attention", "scale", not_scaled),
    "gelu-tanh": tanh_gelu,
    "head-untied": variant(__init__=untied, parameters=untied_parameters, gradients=untied_gradients),
    "ln-epsilon-1e-6": layer_norm_epsilon(1e-6),
    "ln-epsilon-1e-3": layer_norm_epsilon(1e-3),
    "ln-after": variant(forward=norm_after, backward=back_through_norm_after),
    "decay-coupled": method("AdamW", "update", coupled),
    "decay-on-gains": method("AdamW", "step", all_decay),
    "adamw-beta2-0.999": method("AdamW", "update", beta2_0_999),
    "clip-by-tensor": clipping(one_by_one),
    "clip-missing": clipping(not_clipped),
    "schedule-off-by-one": one_step_late,
    "position-shifted": position_shifted,
    "loss-of-last-position": last_position,
    "labels-not-shifted": not_shifted,
    "test-truncated": shared.test_truncated,
    "dropout-always": dropout(trained=lambda settings: 0.2),  # noqa: ARG005
    "dropout-never": dropout(trained=lambda settings: 0.0),  # noqa: ARG005
    "dropout-in-evaluation": dropout(scored=lambda settings: settings["dropout"]),
}
