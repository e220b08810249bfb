# The training clock: a part of module Bench, see bench.jl.

"One pass over the training set, in the order the seed decides."
mutable struct Epoch
    number::Int
    samples::Int  # samples trained on so far in this epoch
    order::Vector{Int32}
    batch::Int
    trace::Int
    events::Events
    steps::Int
    began::Float64
    reported::Float64
    loss::Any
end

"""
    epochs(train, job; sync)

Do `train(epoch)` for every epoch of the training; the clock runs from one idle device to the next.
"""
function epochs(train, job; sync)
    order = load(job, "order") .+ Int32(1)  # (samples, epochs)
    for number in 1:job.settings["epochs"]
        sync()
        began = clock()
        trace = number == 1 ? job.trace : 0
        epoch = Epoch(number, 0, order[:, number], job.settings["batch"], trace, job.events, 0, began, began, nothing)
        train(epoch)
        sync()
        seconds = clock() - began
        emit(job.events, "epoch"; epoch = number, samples = epoch.samples, seconds = seconds, loss = last_loss(epoch))
    end
end

"""
    batches(epoch, x, y)

The full batches (x, y) of this epoch; a last partial batch is left out.
"""
batches(epoch, x, y) = Batches(epoch, x, y)

struct Batches{X,Y}
    epoch::Epoch
    x::X
    y::Y
end

function Base.iterate(batches::Batches, done = 0)
    epoch = batches.epoch
    epoch.samples = done
    done + epoch.batch <= length(epoch.order) || return nothing
    chosen = epoch.order[done+1:done+epoch.batch]
    return (sample(batches.x, chosen), sample(batches.y, chosen)), done + epoch.batch
end

"""
    step(epoch, loss)

After every training step. `loss` is the mean loss of the batch, a number or a function returning it; it is only read
now and then, so that a device need not be waited for at every step.
"""
function step(epoch, loss)
    epoch.steps += 1
    epoch.loss = loss
    now = clock()
    (epoch.steps > epoch.trace && now - epoch.reported < STEP_INTERVAL) && return
    epoch.reported = now
    emit(
        epoch.events, "step";
        epoch = epoch.number,
        step = epoch.steps,
        samples = epoch.samples + epoch.batch,
        seconds = now - epoch.began,
        loss = last_loss(epoch),
    )
end

"The loss of the latest step. Throws Diverged when it is not finite."
function last_loss(epoch)
    loss = Float64(epoch.loss isa Function ? epoch.loss() : epoch.loss)
    isfinite(loss) && return loss
    throw(Diverged("loss is $(lowercase(string(loss))) in epoch $(epoch.number), step $(epoch.steps)"))
end
