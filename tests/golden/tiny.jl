# tiny.py in Julia: the same streams, written by bench.jl, must make the same golden streams.

include("../../workloads/common/bench.jl")

sync() = nothing

function train(job)
    Bench.start(job; version = "1.0", versions = Dict("library" => "2.0"), fused = false, notes = ["computes nothing"])
    x_train, y_train, x_test, y_test = Bench.data(job)
    weights = Bench.weights(job)
    Bench.compiling(() -> nothing, job)
    Bench.ready(job)
    println("a framework's chatter on stdout")
    ccall(:puts, Cint, (Cstring,), "a library's chatter on fd 1")
    Libc.flush_cstdio()
    Bench.epochs(job; sync = sync, weights = () -> weights) do epoch
        for (x, _) in Bench.batches(epoch, x_train, y_train)
            Bench.step(epoch, () -> sum(x) / length(x) + weights["bias"][1])
        end
        Bench.score(epoch, x_test, y_test; pad = true) do x
            scores = zeros(10, size(x, 4))
            scores[1, :] .= 1
            return scores
        end
    end
    Bench.artifact(job, "weights", weights["bias"])
end

function extract(job)
    Bench.start(job; version = "1.0")
    images = Bench.images(job)
    Bench.ready(job)
    Bench.extract(batch -> fill(sum(batch) / length(batch), 2048, size(batch, 4)), job, images; sync = sync)
end

function diverge(job)
    Bench.start(job; version = "1.0")
    x_train, y_train, _, _ = Bench.data(job)
    Bench.ready(job)
    Bench.epochs(job; sync = sync, weights = Dict) do epoch
        for _ in Bench.batches(epoch, x_train, y_train)
            Bench.step(epoch, NaN)
        end
    end
end

function refuse(job)
    Bench.start(job; version = "1.0")
    throw(Bench.NotImplementedError("no such precision"))
end

Bench.main(Dict("train" => train, "extract" => extract, "diverge" => diverge, "refuse" => refuse)[ARGS[1]])
