# The training clock: a part of module Bench, see bench.jl.

"One pass over the training set, in the order the seed decides."
mutable struct Epoch
    job::Job
    number::Int
    samples::Int  # samples trained on so far in this epoch
    order::Vector{Int32}
    sync::Any
    weights::Any
    trace::Int  # so many first steps
    scored::Bool
    keep_scores::Bool
    steps::Int
    began::Float64
    reported::Float64
    loss::Any
end

"""
    epochs(train, job; sync, weights)

Do `train(epoch)` for every epoch of the training. `weights` returns all weights, like `weights(job)`, as they are when
called. It is called after the first step of a job with a trace, and never in a job that is timed.
"""
function epochs(train, job; sync, weights)
    order = load(job, "order") .+ Int32(1)  # (samples, epochs)
    epochs = job.settings["epochs"]
    for number in 1:epochs
        trace = number == 1 ? job.trace : 0
        scored = number == epochs || job.learning_curve
        keep_scores = number == epochs && job.trace > 0
        train(Epoch(job, number, 0, order[:, number], sync, weights, trace, scored, keep_scores, 0, 0, 0, nothing))
    end
end

"""
    batches(epoch, x, y)

The full batches (x, y) of this epoch; a last partial batch is left out. The clock runs from the first batch to the end
of the loop over them, from one idle device to the next.
"""
batches(epoch, x, y) = Batches(epoch, x, y)

struct Batches{X,Y}
    epoch::Epoch
    x::X
    y::Y
end

function Base.iterate(batches::Batches, done = 0)
    epoch = batches.epoch
    batch = epoch.job.settings["batch"]
    if done == 0
        epoch.sync()
        epoch.began = epoch.reported = clock()
    end
    epoch.samples = done
    if done + batch > length(epoch.order)
        epoch.sync()
        seconds = clock() - epoch.began
        loss = last_loss(epoch)
        emit(epoch.job.events, "epoch"; epoch = epoch.number, samples = done, seconds = seconds, loss = loss)
        return nothing
    end
    chosen = epoch.order[done+1:done+batch]
    return (sample(batches.x, chosen), sample(batches.y, chosen)), done + batch
end

"""
    step(epoch, loss)

After every training step. `loss` is the mean loss of the batch, a number or a function returning it; it is only read,
and the device waited for, now and then.
"""
function step(epoch, loss)
    epoch.steps += 1
    epoch.loss = loss
    first = epoch.number == 1 ? max(epoch.trace, 1) : 0  # so many steps are reported whatever the time is
    (epoch.steps > first && clock() - epoch.reported < STEP_INTERVAL) && return
    last = last_loss(epoch)
    epoch.sync()
    epoch.reported = clock()
    emit(
        epoch.job.events, "step";
        epoch = epoch.number,
        step = epoch.steps,
        samples = epoch.samples + epoch.job.settings["batch"],
        seconds = epoch.reported - epoch.began,
        loss = last,
    )
    if epoch.steps == 1 && epoch.trace > 0
        keep_weights(epoch.job, epoch.weights())
        epoch.began += clock() - epoch.reported  # training stood still meanwhile
    end
end

"Keep the weights after the first step, each as the artifact weights-1.NAME."
function keep_weights(job, found)
    for (name, initial) in weights(job)
        array = found[name]
        size(array) == size(initial) || error("weight $name has size $(size(array)), not $(size(initial))")
        artifact(job, "weights-1." * name, array)
    end
end

"""
    score(predict, epoch, x, y; pad = false)

Count correct predictions over all of `x`, the last partial batch included. Only the last epoch is scored, unless the
job asks for a learning curve; the training clock stands still meanwhile.

`predict` takes a batch and returns an array of scores, (classes, n). `pad = true` fills the last batch up for
frameworks with a fixed batch size; the filling is not scored. A job with a trace keeps all scores: they show what training made of the weights, and the model as it is when it does not train.
"""
function score(predict, epoch, x, y; pad = false)
    epoch.scored || return
    job = epoch.job
    batch = job.settings["batch"]
    correct = 0
    kept = []
    began = clock()
    for first in 1:batch:length(y)
        chosen = first:min(first + batch - 1, length(y))
        filled = pad ? min.(first:first+batch-1, length(y)) : chosen
        scores = predict(sample(x, filled))
        if !(scores isa Matrix) || size(scores, 2) != length(filled)
            error("predict returned $(summary(scores)) for $(length(filled)) samples")
        end
        all(isfinite, scores) || throw(Diverged("the model's scores on the test set are not finite"))
        correct += count(argmax(view(scores, :, k)) == y[sample] for (k, sample) in enumerate(chosen))
        epoch.keep_scores && push!(kept, scores[:, 1:length(chosen)])
    end
    emit(job.events, "score"; samples = length(y), correct = correct, seconds = clock() - began)
    epoch.keep_scores && artifact(job, "scores-0", reduce(hcat, kept))
end

"The loss of the latest step. Throws Diverged when it is not finite."
function last_loss(epoch)
    loss = Float64(epoch.loss isa Function ? epoch.loss() : epoch.loss)
    isfinite(loss) && return loss
    throw(Diverged("loss is $(lowercase(string(loss))) in epoch $(epoch.number), step $(epoch.steps)"))
end
