"""ResNet-50 features in CNTK, the model of its layers library as in its ResNet example.

https://github.com/microsoft/CNTK/blob/master/Examples/Image/Classification/ResNet/Python/resnet_models.py
https://cntk.ai/pythondocs/layerref.html
"""

import time

import openmpi  # noqa: F401  (before CNTK)
import peer

import cntk as C
from cntk.layers import BatchNormalization, Convolution2D, GlobalAveragePooling, MaxPooling


def conv_bn(x, filters, kernel, stride=1):
    conv = Convolution2D((kernel, kernel), filters, strides=stride, pad=True, bias=False, init=C.he_normal())
    return BatchNormalization(map_rank=1, epsilon=1e-5)(conv(x))


def bottleneck(x, width, stride, project):
    stride1, stride3 = (stride, 1) if peer.SETTINGS["variant"] == "v1" else (1, stride)
    out = C.relu(conv_bn(x, width, 1, stride1))
    out = C.relu(conv_bn(out, width, 3, stride3))
    out = conv_bn(out, 4 * width, 1)
    return C.relu(out + (conv_bn(x, 4 * width, 1, stride) if project else x))


z = C.relu(conv_bn(C.input_variable((3, 224, 224)), 64, 7, 2))
z = MaxPooling((3, 3), strides=2, pad=True)(z)
for width, blocks, stride in (64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2):
    for block in range(blocks):
        z = bottleneck(z, width, 1 if block else stride, project=not block)
z = GlobalAveragePooling()(z)
photos = peer.photos()

for _ in "cold", "timed":
    began = time.perf_counter()
    for batch in photos:
        z.eval({z.arguments[0]: batch})
    seconds = time.perf_counter() - began
peer.report(photos.shape[0] * photos.shape[1], seconds)
