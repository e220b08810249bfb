# GRU on IMDB reviews in Knet.
#
# On a GPU Knet's RNN is cuDNN's fused kernel; on a CPU it takes one time step after the other.

include("../common/bench.jl")  # before Knet: it sees to stdout, threads and denormals
include("runtime.jl")

using Knet
using LinearAlgebra: BLAS

# Knet's numbers of the three gates' parts: those for the input, and those for the state. The gates are in the same
# order as ours: reset, update, new.
const GATES = ("ih" => 1:3, "hh" => 4:6)

struct Rnn
    embedding  # (features, vocabulary)
    gru::RNN
    w
    b
end

function (model::Rnn)(tokens)
    model.gru.h = 0  # start from zeros, and leave the last state here
    model.gru(model.embedding[:, permutedims(tokens)])  # (features, batch, time)
    return model.w * mat(model.gru.h; dims = 1) .+ model.b
end

(model::Rnn)(tokens, y) = nll(model(tokens), y)

function build(job)
    weights = Bench.weights(job)
    optimizer() = Adam(
        lr = job.settings["lr"],
        beta1 = job.settings["beta1"],
        beta2 = job.settings["beta2"],
        eps = job.settings["epsilon"],
    )
    parameter(array) = Param(Runtime.to_device(array), optimizer())
    gru = build_gru(weights)
    gru.w = parameter(value(gru.w))
    return Rnn(
        parameter(weights["embedding.weight"]),
        gru,
        parameter(permutedims(weights["fc.weight"])),
        parameter(weights["fc.bias"]),
    )
end

"A GRU in host memory."
function build_gru(weights)
    features, units = size(weights["gru.weight_ih"], 1), size(weights["gru.weight_hh"], 1)
    gru = RNN(features, units; rnnType = :gru, atype = Array{Float32})
    for (side, ids) in GATES, (gate, id) in enumerate(ids)
        rows = (gate-1)*units+1:gate*units
        copyto!(rnnparam(gru, 1, id, 1), weights["gru.weight_"*side][:, rows])  # Knet's matrices are (in, out) too
        copyto!(rnnparam(gru, 1, id, 2), weights["gru.bias_"*side][rows])
    end
    return gru
end

"The weights as they are now, under the names and in the shapes they came with."
function weights_of(model)
    weights = Dict{String,Array{Float32}}(
        "embedding.weight" => Array(value(model.embedding)),
        "fc.weight" => permutedims(Array(value(model.w))),
        "fc.bias" => Array(value(model.b)),
    )
    for (side, ids) in GATES
        weights["gru.weight_"*side] = hcat((Array(rnnparam(model.gru, 1, id, 1)) for id in ids)...)
        weights["gru.bias_"*side] = vcat((Array(rnnparam(model.gru, 1, id, 2)) for id in ids)...)
    end
    return weights
end

function run(job)
    Runtime.start(job; fused = job.device == "gpu")
    BLAS.set_num_threads(1)  # on a CPU the matrices of one time step are too small to share
    x_train, y_train, x_test, y_test = Bench.data(job)
    model = build(job)
    predict(x) = Array(model(x))

    Bench.compiling(job) do
        rehearsal = 1:job.settings["batch"]
        Runtime.train_step(deepcopy(model), Bench.sample(x_train, rehearsal), Bench.sample(y_train, rehearsal))
        predict(Bench.sample(x_train, rehearsal))
    end

    Bench.ready(job)
    Bench.epochs(job; sync = () -> Runtime.synchronize(job), weights = () -> weights_of(model)) do epoch
        for (x, y) in Bench.batches(epoch, x_train, y_train)
            Bench.step(epoch, Runtime.train_step(model, x, y))
        end
        Bench.score(predict, epoch, x_test, y_test)
    end
end

Bench.main(run)
