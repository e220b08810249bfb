"""
What must be equal in every framework, for workloads in Julia: the job, the data, the batch order, the clock, the
scoring, the events. The counterpart of bench.py, with the same vocabulary:

    Bench.main(run)                          run a workload: run(job), with errors reported as events
    Bench.start(job; ...)                    say what is running, before anything expensive
    Bench.data(job), Bench.images(job)       the dataset, as arrays
    Bench.weights(job)                       the initial weights every framework shares
    Bench.compiling(job) do ... end          a block whose time is reported apart
    Bench.ready(job)                         everything is built; from here on time counts
    Bench.epochs(job; sync, weights) do epoch ... end  the epochs of the training; within each of them
        Bench.batches(epoch, x, y)               the batches, and the training clock around them
        Bench.step(epoch, loss)                  a training step is done
        Bench.score(predict, epoch, x, y)        accuracy over all test samples
    Bench.extract(features, job, images; sync)  the inference clock: one cold pass, then timed passes
    Bench.artifact(job, name, array)         keep a small array beside the result

Arrays have their axes in the opposite order of PROTOCOL.md's, the samples last, and everything counts from one, as is
Julia's way: see npy.jl. `sync` waits until the device is idle, `weights` shows the weights as they are now; neither has
a default. A workload includes this file before it loads its framework. Runs on Julia 1.5 and later, with the standard
library only.
"""
module Bench

using Base64: base64encode
using SHA: sha256

include("startup.jl")
include("json.jl")
include("npy.jl")

const PROTOCOL = 2
const MOST_BATCHES = 10000  # in one pass event
const PART_BYTES = 9000  # of an array in one line, which base64 makes a third longer
const STEP_INTERVAL = 0.5  # seconds between two `step` events; reading a loss may wait for the device, so seldom
const EVENT_DESCRIPTOR = Startup.prepare()

"Seconds on a monotonic clock."
clock() = time_ns() / 1e9

"The training loss, the scores or the features are no longer finite numbers."
struct Diverged <: Exception
    message::String
end

"Thrown by a workload for what its framework cannot do."
struct NotImplementedError <: Exception
    message::String
end

"What the job was given to read cannot be read."
struct Unreadable <: Exception
    message::String
end

Base.showerror(io::IO, error::Union{Diverged,NotImplementedError,Unreadable}) = print(io, error.message)

"""
    main(run)

Run the workload `run(job)` for the job described by BENCH_SPEC and end the process.
"""
function main(run)
    events = Events(EVENT_DESCRIPTOR)
    code = 0
    try
        spec = reading(path -> Json.parse(read(path, String)), ENV["BENCH_SPEC"])
        run(Job(spec, ENV["BENCH_INPUTS"], events))
        emit(events, "end")
    catch error
        code = 1
        showerror(stderr, error, catch_backtrace())
        println(stderr)
        message = first(sprint(showerror, error), 2000)
        emit(events, "error"; kind = failure_class(error), type = nameof(typeof(error)), message = message)
    end
    flush(stderr)
    ccall(:_exit, Cvoid, (Cint,), code)  # all is said: what a framework does while it is torn down changes nothing
end

# How frameworks and the libraries below them say that there is no memory left, in lower case; as in events.py.
const OUT_OF_MEMORY = Regex(
    raw"out[ _]?of[ _]?(gpu[ _]?)?memory|\boom when|resource_?exhausted|dst tensor is not initialized" *
    raw"|cudaerrormemoryallocation|bad_?alloc|alloc_failed|alloc.*fail|fail.*alloc|(cannot|can't|unable to) allocate",
    "s",
)

"Tell apart the failures that mean different things to the person who has to act on them."
function failure_class(error)
    text = lowercase("$(nameof(typeof(error))): $(sprint(showerror, error))")
    error isa Diverged && return "diverged"
    error isa NotImplementedError && return "unsupported"
    occursin(OUT_OF_MEMORY, text) && return "out_of_memory"
    # How CUDA says that a framework was not compiled for the GPU it found.
    occursin(r"no kernel image|no binary for gpu|invalid device function", text) && return "unsupported"
    error isa Unreadable && return "input"
    return "exception"
end

"What `action` makes of `path`, one of the files the job was given. Throws Unreadable."
function reading(action, path)
    try
        return action(path)
    catch error
        error isa Union{SystemError,Npy.FormatError,Json.ParseError} || rethrow()
        throw(Unreadable("$path cannot be read: $(sprint(showerror, error))"))
    end
end

"The event stream: one JSON object per line, numbered, written whole."
mutable struct Events
    descriptor::Cint
    sequence::Int
    started::Float64
end
Events(descriptor) = Events(descriptor, 0, clock())

"Write one event. A value JSON cannot hold (NaN, infinity) is a programming error and throws ArgumentError."
function emit(events, event; fields...)
    elapsed = round(clock() - events.started, digits = 6)
    record = [:event => event, :seq => events.sequence, :t => elapsed, fields...]
    events.sequence += 1
    write_line(events, sprint(Json.write_object, record))
end

"Write the `bytes` of the artifact whose event came before."
function emit_parts(events, bytes)
    for part in Iterators.partition(bytes, PART_BYTES)
        write_line(events, "{\"part\":\"" * base64encode(part) * "\"}")
    end
end

function write_line(events, text)
    line = Vector{UInt8}(text * "\n")
    while !isempty(line)
        written = ccall(:write, Cssize_t, (Cint, Ptr{UInt8}, Csize_t), events.descriptor, line, length(line))
        systemerror("writing an event", written < 0 && Libc.errno() != Libc.EINTR)
        deleteat!(line, 1:max(written, 0))
    end
end

"One workload of one framework on one device, with everything it is allowed to know."
mutable struct Job
    framework::String
    workload::String
    device::String  # "cpu" or "gpu"
    precision::String  # "fp32", ...
    seed::Int
    settings::Dict{String,Any}  # the workload's own part of the run spec: epochs, batch, lr, ...
    threads::Int
    trace::Int  # report the loss of this many first steps, the features of as many first batches
    learning_curve::Bool  # score after every epoch, not only after the last
    inputs::String
    events::Events
    created::Float64
    loading::Float64
    compiling::Float64
end

function Job(spec, inputs, events)
    protocol = spec["protocol"]
    protocol == PROTOCOL || error("this workload speaks protocol $PROTOCOL, the job $protocol")
    what = (spec[key] for key in ("framework", "workload", "device", "precision", "seed", "settings"))
    how = (spec[key] for key in ("trace", "learning_curve"))
    return Job(what..., Threads.nthreads(), how..., inputs, events, clock(), 0, 0)
end

"""
    start(job; version, versions, device_name, fused, notes)

Say what runs: the framework's `version`, the `versions` of its libraries by name, the device's name, whether the
recurrent kernel is a `fused` one (nothing where there is none to fuse), and what this framework does differently.
"""
function start(job; version, versions = Dict(), device_name = nothing, fused = nothing, notes = [])
    emit(
        job.events, "start";
        protocol = PROTOCOL,
        framework = job.framework,
        workload = job.workload,
        version = version,
        versions = merge(Dict("julia" => string(VERSION)), versions),
        device = job.device,
        device_name = device_name,
        (job.device == "gpu" ? (gpus = Startup.visible_gpus(),) : ())...,
        precision = job.precision,
        threads = job.threads,
        fused = fused,
        denormals = Startup.denormals_flushed() ? "flushed" : "kept",
        notes = notes,
    )
end

"""
    data(job) -> x_train, y_train, x_test, y_test

The dataset, cut to the samples the job asks for. Images: Float32 in [0, 1], (width, height, channels, n). Reviews:
Int32 token numbers, (150, n). Labels: Int32, (n,). Token and class numbers count from one, so padding is token 1.
"""
function data(job)
    return timed_loading(job) do
        arrays = []
        for split in ("train", "test")
            samples = job.settings[split * "_samples"]  # nothing: all of them
            x, y = load(job, "x_" * split), load(job, "y_" * split)
            chosen = 1:(samples === nothing ? length(y) : min(samples, length(y)))
            push!(arrays, prepare(sample(x, chosen)), sample(y, chosen) .+ Int32(1))
        end
        return arrays
    end
end

prepare(images::Array{UInt8}) = images ./ 255f0
prepare(tokens::Array{Int32}) = tokens .+ Int32(1)

"The `chosen` samples of `x`, which are its last axis."
sample(x::AbstractArray{T,N}, chosen) where {T,N} = x[ntuple(_ -> :, N - 1)..., chosen]

"""
    images(job)

The inference input: a vector of batches, each Float32 (224, 224, 3, batch).
"""
function images(job)
    return timed_loading(() -> [copy(batch) for batch in eachslice(load(job, "images"), dims = 5)], job)
end

"""
    weights(job)

The initial weights, the same for every framework: `Dict` of Float32 arrays, named as in PROTOCOL.md. A dense matrix
is (in, out), a convolution (width, height, in, out).
"""
weights(job) = timed_loading(() -> reading(Npy.load_archive, joinpath(job.inputs, "weights.npz")), job)

load(job, name) = reading(Npy.load, joinpath(job.inputs, name * ".npy"))

function timed_loading(action, job)
    began = clock()
    result = action()
    job.loading += clock() - began
    return result
end

"""
    compiling(action, job)

Time spent in this block is compilation: reported, not counted. Returns what `action` does.
"""
function compiling(action, job)
    began = clock()
    result = action()
    job.compiling += clock() - began
    return result
end

"Model built, data loaded, everything compiled that can be compiled ahead."
function ready(job)
    build = clock() - job.created - job.loading - job.compiling
    emit(job.events, "ready"; load_s = job.loading, build_s = build, compile_s = job.compiling)
end

include("epochs.jl")

"""
    extract(features, job, images; sync)

Time `features(batch)`, an array (2048, batch) in host memory, over all `images`: a cold pass, then timed passes, as
many as it takes to be at work for as long as the job asks. The first image's features in the first timed pass are kept:
they show that what is timed is what was verified.
"""
function extract(features, job, images; sync)
    local first_image
    for (event, at_least) in (("cold", 0), ("inference", job.settings["seconds"]))
        seconds, samples = Float64[], 0
        while isempty(seconds) || (sum(seconds) < at_least && length(seconds) + length(images) <= MOST_BATCHES)
            for batch in images
                sync()
                began = clock()
                result = features(batch)
                sync()
                push!(seconds, clock() - began)
                number = length(seconds)
                samples += size(batch, 4)
                check_features(result, size(batch, 4))
                event == "cold" && number <= job.trace && artifact(job, "features-$(number - 1)", result)
                number == 1 && (first_image = result[:, 1:1])
            end
        end
        emit(job.events, event; samples = samples, seconds = sum(seconds), batch_seconds = seconds)
    end
    artifact(job, "timed-0", first_image)
end

function check_features(result, batch)
    if !(result isa Matrix) || size(result) != (2048, batch)
        error("features must be a matrix of size (2048, $batch), got $(summary(result))")
    end
    all(isfinite, result) || throw(Diverged("features are not finite"))
end

"""
    artifact(job, name, array)

Send `array`, which is kept as NAME.npy beside the result.
"""
function artifact(job, name, array::Array)
    bytes = collect(reinterpret(UInt8, vec(array)))
    emit(
        job.events, "artifact";
        name = name * ".npy",
        dtype = lowercase(string(eltype(array))),
        shape = reverse(size(array)),
        sha256 = bytes2hex(sha256(bytes)),
    )
    emit_parts(job.events, bytes)
end

end
