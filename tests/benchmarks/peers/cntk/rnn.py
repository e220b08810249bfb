"""A GRU of CNTK's layers library: Recurrence(GRU()), as in its tutorial on sequences.

https://cntk.ai/pythondocs/CNTK_202_Language_Understanding.html
https://cntk.ai/pythondocs/layerref.html
The table of words is dense: Adam takes no sparse gradient on a CPU.
"""

import time

import openmpi  # noqa: F401  (before CNTK)

# isort: split
import cntk as C
import peer
from cntk.layers import GRU, Dense, Recurrence

BATCH = peer.SETTINGS["batch"]

x, y = C.sequence.input_variable(()), C.input_variable(2)
table = C.parameter((30000, 125), init=C.glorot_uniform())
z = Dense(2)(C.sequence.last(Recurrence(GRU(100))(C.gather(table, x))))
learner = C.adam(
    z.parameters,
    C.learning_parameter_schedule(peer.SETTINGS["lr"], minibatch_size=BATCH),
    C.momentum_schedule(peer.SETTINGS["beta1"], minibatch_size=BATCH),
    variance_momentum=C.momentum_schedule(peer.SETTINGS["beta2"], minibatch_size=BATCH),
    epsilon=peer.SETTINGS["epsilon"],
    unit_gain=True,
)
trainer = C.Trainer(z, C.cross_entropy_with_softmax(z, y), [learner])


def train(order):
    for first in range(0, len(order), BATCH):
        chosen = order[first : first + BATCH]
        trainer.train_minibatch({x: words[chosen], y: classes[chosen]})
    z.parameters[-1].value  # noqa: B018  (reading waits)


words, classes = peer.imdb()
words, classes = words.astype("float32"), peer.np.eye(2, dtype="float32")[classes]

train(peer.np.arange(2 * BATCH))
began = time.perf_counter()
train(peer.RANDOM.permutation(len(words)))
peer.report(len(words), time.perf_counter() - began)
