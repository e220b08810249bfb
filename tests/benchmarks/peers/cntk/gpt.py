"""A GPT of CNTK's layers and operators; attention has a product for each head, as in CNTKx, a library of more layers.

LayerNormalization of CNTK's own normalizes all of a window at once. Its learners clip the norm of each gradient alone.
https://cntk.ai/pythondocs/layerref.html
https://github.com/delzac/cntkx
"""

import math
import time

import openmpi  # noqa: F401  (before CNTK)

# isort: split
import cntk as C
import peer

S, np = peer.SETTINGS, peer.np
BATCH, CONTEXT, WIDTH, HEADS = S["batch"], S["context"], S["width"], S["heads"]
FUTURE = C.constant(np.triu(np.full((CONTEXT, CONTEXT), -1e9, np.float32), k=1))


def linear(x, outputs, activation=None):
    return C.layers.Dense(outputs, activation, init=C.normal(0.02), map_rank=1, bias=False)(x)


def norm(x):
    x = x - C.reduce_mean(x, axis=-1)
    return x / C.sqrt(C.reduce_mean(C.square(x), axis=-1) + 1e-5) * C.parameter(WIDTH, init=1)


def dropout(x):
    return C.dropout(x, S["dropout"]) if S["dropout"] else x


def gelu(x):  # by tanh: CNTK has no erf
    return 0.5 * x * (1 + C.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))


def attention(x):
    qkv, size = linear(x, 3 * WIDTH), WIDTH // HEADS
    heads = []
    for start in range(0, WIDTH, size):
        q, k, v = (qkv[:, part + start : part + start + size] for part in (0, WIDTH, 2 * WIDTH))
        shares = C.softmax(C.times_transpose(q, k) / math.sqrt(size) + FUTURE, axis=-1)
        heads.append(C.times(dropout(shares), v))
    return linear(C.splice(*heads, axis=-1), WIDTH)


ids, targets = C.input_variable(CONTEXT), C.input_variable(CONTEXT)
token, position = (C.parameter((rows, WIDTH), init=C.normal(0.02)) for rows in (65, CONTEXT))
x = dropout(C.gather(token, ids) + position)
for _ in range(S["layers"]):
    x = x + dropout(attention(norm(x)))
    x = x + dropout(linear(linear(norm(x), 4 * WIDTH, gelu), WIDTH))
logits = C.times_transpose(norm(x), token)
loss = C.reduce_mean(C.cross_entropy_with_softmax(logits, C.one_hot(targets, 65), axis=1), axis=0)
rates = [S["lr"] * peer.share_of_lr(step) for step in range(S["decay_steps"])]
learner = C.adam(
    logits.parameters,
    C.learning_parameter_schedule(rates, minibatch_size=BATCH, epoch_size=BATCH),
    C.momentum_schedule(S["beta1"], minibatch_size=BATCH),
    variance_momentum=C.momentum_schedule(S["beta2"], minibatch_size=BATCH),
    unit_gain=True,
    l2_regularization_weight=S["weight_decay"],
    gradient_clipping_threshold_per_sample=S["clip"],
    gradient_clipping_with_truncation=False,
    epsilon=S["epsilon"],
)
trainer = C.Trainer(logits, loss, [learner])


def train(steps):
    for _ in range(steps):
        places = peer.RANDOM.randint(len(text) - CONTEXT, size=(BATCH, 1)) + np.arange(CONTEXT)
        trainer.train_minibatch({ids: text[places], targets: text[places + 1]})
    logits.parameters[-1].value  # noqa: B018  (reading waits)


text = peer.text().astype(np.float32)

train(3)
began = time.perf_counter()
train(S["steps"])
peer.report(S["steps"] * BATCH * CONTEXT, time.perf_counter() - began)
