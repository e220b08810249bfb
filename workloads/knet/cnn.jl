# CNN on CIFAR-10 in Knet.
#
# Knet's images are (width, height, channels, n), which is how bench.jl reads them: nothing is transposed.

include("../common/bench.jl")  # before Knet: it sees to stdout, threads and denormals
include("runtime.jl")

using Knet

struct Conv; w; b; end
struct Dense; w; b; end

# mode = 1 is cross-correlation, which other libraries call convolution.
(layer::Conv)(x) = conv4(layer.w, x; padding = 1, mode = 1) .+ layer.b
(layer::Dense)(x) = layer.w * x .+ layer.b

struct Cnn
    conv1::Conv
    conv2::Conv
    conv3::Conv
    conv4::Conv
    fc1::Dense
    fc2::Dense
    dropout_conv
    dropout_dense
end

# Dropout is active inside @diff only, so the same function trains and predicts.
function (model::Cnn)(x)
    x = relu.(model.conv1(x))
    x = relu.(pool(model.conv2(x); window = 2))
    x = dropout(x, model.dropout_conv)
    x = relu.(model.conv3(x))
    x = relu.(pool(model.conv4(x); window = 2))
    x = dropout(x, model.dropout_conv)
    x = relu.(model.fc1(mat(x)))
    return model.fc2(dropout(x, model.dropout_dense))
end

(model::Cnn)(x, y) = nll(model(x), y)

function build(job)
    weights = Bench.weights(job)
    optimizer() = Momentum(lr = job.settings["lr"], gamma = job.settings["momentum"])
    parameter(array) = Param(Runtime.to_device(array), optimizer())
    conv(name) = Conv(parameter(weights[name*".weight"]), parameter(reshape(weights[name*".bias"], 1, 1, :, 1)))
    dense(name) = Dense(parameter(permutedims(weights[name*".weight"])), parameter(weights[name*".bias"]))
    return Cnn(
        conv("conv1"), conv("conv2"), conv("conv3"), conv("conv4"), dense("fc1"), dense("fc2"),
        job.settings["dropout_conv"], job.settings["dropout_dense"],
    )
end

"The weights as they are now, under the names and in the shapes they came with."
function weights_of(model)
    weights = Dict{String,Array{Float32}}()
    for name in ("conv1", "conv2", "conv3", "conv4", "fc1", "fc2")
        layer = getproperty(model, Symbol(name))
        weight = Array(value(layer.w))
        weights[name*".weight"] = layer isa Dense ? permutedims(weight) : weight
        weights[name*".bias"] = vec(Array(value(layer.b)))
    end
    return weights
end

# NNlib compares with isapprox: https://github.com/FluxML/NNlib.jl/blob/v0.8.4/src/impl/pooling_direct.jl#L219
const POOLING = "max pooling sends its gradient to the first value within 0.035 % of the largest"

function run(job)
    Runtime.start(job; notes = job.device == "cpu" ? [POOLING] : [])
    x_train, y_train, x_test, y_test = Bench.data(job)
    model = build(job)
    train_step(model, x, y) = Runtime.train_step(model, Runtime.to_device(x), y)
    predict(x) = Array(model(Runtime.to_device(x)))

    Bench.compiling(job) do
        rehearsal = 1:job.settings["batch"]
        train_step(deepcopy(model), Bench.sample(x_train, rehearsal), Bench.sample(y_train, rehearsal))
        predict(Bench.sample(x_train, rehearsal))
        Knet.seed!(job.seed)  # the rehearsal drew dropout masks
    end

    Bench.ready(job)
    Bench.epochs(job; sync = () -> Runtime.synchronize(job), weights = () -> weights_of(model)) do epoch
        for (x, y) in Bench.batches(epoch, x_train, y_train)
            Bench.step(epoch, train_step(model, x, y))
        end
        Bench.score(predict, epoch, x_test, y_test)
    end
end

Bench.main(run)
