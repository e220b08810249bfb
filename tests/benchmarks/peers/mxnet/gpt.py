"""A GPT as a symbol that mx.mod.Module trains: attention as in GluonNLP's BERT, clipping as in MXNet's language model.

https://mxnet.apache.org/versions/1.9.1/api/python/docs/api/legacy/module/index.html
https://github.com/dmlc/gluon-nlp/blob/v0.10.x/src/gluonnlp/model/bert.py
https://github.com/apache/mxnet/blob/v1.x/example/rnn/large_word_lm/custom_module.py
"""

import time

import mxnet as mx
import peer

S, np = peer.SETTINGS, peer.np
BATCH, CONTEXT, WIDTH, HEADS = S["batch"], S["context"], S["width"], S["heads"]


def linear(x, outputs, **options):
    return mx.sym.FullyConnected(x, num_hidden=outputs, no_bias=True, flatten=False, **options)


def norm(x):
    return mx.sym.LayerNorm(x, eps=1e-5)


def dropout(x):
    return mx.sym.Dropout(x, p=S["dropout"]) if S["dropout"] else x


def attention(x):
    qkv = linear(x, 3 * WIDTH)
    scores = mx.sym.contrib.interleaved_matmul_selfatt_qk(qkv, heads=HEADS)
    shares = dropout(mx.sym.softmax(mx.sym.broadcast_add(scores, future)))
    return linear(mx.sym.contrib.interleaved_matmul_selfatt_valatt(qkv, shares, heads=HEADS), WIDTH)


def perceptron(x):
    return linear(mx.sym.LeakyReLU(linear(x, 4 * WIDTH), act_type="gelu"), WIDTH)


class ClippingModule(mx.mod.Module):
    def update(self):
        gradients = [each[0] for each in self._exec_group.grad_arrays if each[0] is not None]
        mx.gluon.utils.clip_global_norm(gradients, S["clip"], check_isfinite=False)
        super().update()


place = mx.sym.arange(CONTEXT)
later = mx.sym.broadcast_lesser(mx.sym.reshape(place, (CONTEXT, 1)), mx.sym.reshape(place, (1, CONTEXT)))
future = mx.sym.expand_dims(-1e9 * later, axis=0)
token = mx.sym.Variable("token_weight")
position = mx.sym.Variable("position_weight", shape=(CONTEXT, 1, WIDTH))
ids = mx.sym.transpose(mx.sym.Variable("data"))  # the operators for attention want time first
x = mx.sym.Embedding(ids, weight=token, input_dim=65, output_dim=WIDTH)
x = dropout(mx.sym.broadcast_add(x, position))
for _ in range(S["layers"]):
    x = x + dropout(attention(norm(x)))
    x = x + dropout(perceptron(norm(x)))
logits = mx.sym.reshape(linear(norm(x), 65, weight=token), shape=(-1, 65))
targets = mx.sym.reshape(mx.sym.transpose(mx.sym.Variable("softmax_label")), shape=(-1,))
net = mx.sym.SoftmaxOutput(logits, targets, normalization="batch")
betas = [name for name in net.list_arguments() if name.endswith("beta")]  # LayerNorm without bias: they stay zero
module = ClippingModule(net, context=mx.cpu(), fixed_param_names=betas)
module.bind([("data", (BATCH, CONTEXT))], [("softmax_label", (BATCH, CONTEXT))])
module.init_params(mx.init.Mixed([".*gamma", ".*beta", ".*"], [mx.init.One(), mx.init.Zero(), mx.init.Normal(0.02)]))
last = max(S["warmup"] + 1, S["decay_steps"])
rate = mx.lr_scheduler.CosineScheduler(last, S["lr"], S["lr"] * S["lr_end"], S["warmup"])
options = {name: S[name] for name in ("beta1", "beta2", "epsilon")}
options = dict(options, lr_scheduler=rate, wd=S["weight_decay"], rescale_grad=1.0)
module.init_optimizer(kvstore=None, optimizer="adam", optimizer_params=options)


def train(steps):
    for _ in range(steps):
        places = peer.RANDOM.randint(len(text) - CONTEXT, size=(BATCH, 1)) + np.arange(CONTEXT)
        batch = mx.io.DataBatch([mx.nd.array(text[places])], [mx.nd.array(text[places + 1])])
        module.forward_backward(batch)
        module.update()
    mx.nd.waitall()


text = peer.text()

train(3)
began = time.perf_counter()
train(S["steps"])
peer.report(S["steps"] * BATCH * CONTEXT, time.perf_counter() - began)
