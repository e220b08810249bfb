"""Features of ResNet-50 in CNTK's layers library, as its example of a ResNet has them: Convolution2D, BatchNormalization.

https://github.com/microsoft/CNTK/blob/master/Examples/Image/Classification/ResNet/Python/resnet_models.py
"""

import time

import openmpi  # noqa: F401  (before CNTK)

# isort: split
import cntk as C
import peer
from cntk.layers import BatchNormalization, Convolution2D, GlobalAveragePooling, MaxPooling


def convolution(x, filters, size, stride):
    x = Convolution2D((size, size), filters, activation=None, pad=True, strides=stride, bias=False)(x)
    return BatchNormalization(map_rank=1, use_cntk_engine=False, disable_regularization=True)(x)


def block(x, filters, stride):
    first, second = (stride, 1) if peer.SETTINGS["variant"] == "v1" else (1, stride)
    out = C.relu(convolution(x, filters, 1, first))
    out = C.relu(convolution(out, filters, 3, second))
    out = convolution(out, 4 * filters, 1, 1)
    same = stride == 1 and x.shape[0] == 4 * filters
    return C.relu(out + (x if same else convolution(x, 4 * filters, 1, stride)))


net = C.relu(convolution(C.input_variable((3, 224, 224)), 64, 7, 2))
net = MaxPooling((3, 3), strides=2, pad=True)(net)
for blocks, filters, stride in ((3, 64, 1), (4, 128, 2), (6, 256, 2), (3, 512, 2)):
    for number in range(blocks):
        net = block(net, filters, 1 if number else stride)
net = GlobalAveragePooling()(net)


def extract(batches):
    return [net.eval(batch) for batch in batches]


photos = peer.photos()

extract(photos[:1])
began = time.perf_counter()
extract(photos)
peer.report(photos.shape[0] * photos.shape[1], time.perf_counter() - began)
