"""A GRU as a symbol: FusedRNNCell, which MXNet's RNN examples use for speed, and mx.mod.Module.

https://github.com/apache/mxnet/blob/v1.x/example/rnn/bucketing/cudnn_rnn_bucketing.py
https://mxnet.apache.org/versions/1.9.1/api/python/docs/api/legacy/rnn/index.html
"""

import time

import mxnet as mx
import peer

BATCH = peer.SETTINGS["batch"]

words = mx.sym.Embedding(mx.sym.transpose(mx.sym.Variable("data")), input_dim=30000, output_dim=125, name="embedding")
cell = mx.rnn.FusedRNNCell(100, mode="gru", prefix="gru_", get_next_state=True)
start = [mx.sym.zeros(shape=(1, BATCH, 100))]
_, (last,) = cell.unroll(150, words, begin_state=start, layout="TNC", merge_outputs=True)
x = mx.sym.FullyConnected(mx.sym.reshape(last, shape=(BATCH, 100)), num_hidden=2)
module = mx.mod.Module(mx.sym.SoftmaxOutput(x, name="softmax"), context=mx.cpu())


def train(batches):
    for batch in batches:
        module.forward_backward(batch)
        module.update()
    mx.nd.waitall()


words, classes = peer.imdb()
batches = mx.io.NDArrayIter(words, classes, BATCH, shuffle=True, last_batch_handle="discard")
module.bind(batches.provide_data, batches.provide_label)
module.init_params(mx.init.Xavier())
options = {name: peer.SETTINGS[name] for name in ("beta1", "beta2", "epsilon")}
module.init_optimizer(optimizer="adam", optimizer_params=dict(options, learning_rate=peer.SETTINGS["lr"]))

train([next(batches) for _ in range(2)])
batches.reset()
began = time.perf_counter()
train(batches)
peer.report(len(words), time.perf_counter() - began)
