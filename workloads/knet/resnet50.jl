# ResNet-50 feature extraction in Knet.
#
# The network of the paper, cut after global average pooling; `variant` v1.5 moves the stride to the 3x3 convolution.

include("../common/bench.jl")  # before Knet: it sees to stdout, threads and denormals
include("runtime.jl")

using Knet
using LinearAlgebra: BLAS

const STAGES = ((3, 1), (4, 2), (6, 2), (3, 2))  # blocks, stride of the first block

"A convolution without bias and the BatchNorm that follows it, in inference mode."
struct ConvNorm
    w
    stride
    moments
    scale_and_bias
end

function (layer::ConvNorm)(x)
    padding = size(layer.w, 1) ÷ 2
    # mode = 1 is cross-correlation, which other libraries call convolution.
    x = conv4(layer.w, x; padding = padding, stride = layer.stride, mode = 1)
    return batchnorm(x, layer.moments, layer.scale_and_bias; training = false, eps = 1e-5)
end

struct Bottleneck
    conv1::ConvNorm
    conv2::ConvNorm
    conv3::ConvNorm
    shortcut
end

function (block::Bottleneck)(x)
    out = relu.(block.conv1(x))
    out = relu.(block.conv2(out))
    return relu.(block.conv3(out) .+ block.shortcut(x))
end

struct ResNet50
    conv1::ConvNorm
    blocks::Vector{Bottleneck}
end

function (model::ResNet50)(x)
    x = pool(relu.(model.conv1(x)); window = 3, stride = 2, padding = 1)
    for block in model.blocks
        x = block(x)
    end
    return mat(pool(x; window = size(x, 1), mode = 1))  # mode = 1 is the average
end

function build(job)
    weights = Bench.weights(job)
    array(name) = Runtime.to_device(weights[name])
    function conv_norm(conv, norm, stride)
        moments = bnmoments(mean = per_channel(array("$norm.mean")), var = per_channel(array("$norm.var")))
        return ConvNorm(array("$conv.weight"), stride, moments, vcat(array("$norm.gamma"), array("$norm.beta")))
    end
    function bottleneck(name, stride, first)
        stride1, stride2 = job.settings["variant"] == "v1" ? (stride, 1) : (1, stride)
        return Bottleneck(
            conv_norm("$name.conv1", "$name.bn1", stride1),
            conv_norm("$name.conv2", "$name.bn2", stride2),
            conv_norm("$name.conv3", "$name.bn3", 1),
            first ? conv_norm("$name.shortcut.conv", "$name.shortcut.bn", stride) : identity,
        )
    end
    blocks = [
        bottleneck("layer$stage.$block", block == 0 ? stride : 1, block == 0)
        for (stage, (blocks, stride)) in enumerate(STAGES) for block in 0:blocks-1
    ]
    return ResNet50(conv_norm("conv1", "bn1", 2), blocks)
end

per_channel(vector) = reshape(vector, 1, 1, :, 1)

function run(job)
    Runtime.start(job)
    BLAS.set_num_threads(1)  # on a CPU each Julia thread convolves images of its own
    images = Bench.images(job)
    model = build(job)
    features(batch) = Array(model(Runtime.to_device(batch)))

    Bench.compiling(() -> features(images[1][:, :, :, 1:1]), job)
    Bench.ready(job)
    Bench.extract(features, job, images; sync = () -> Runtime.synchronize(job))
end

Bench.main(run)
