"""The epochs of a training: their batches, their clock and their score. A part of bench.py."""

import numpy as np

from workloads.common.events import Diverged, clock

STEP_INTERVAL = 0.5  # seconds between two `step` events; reading a loss may wait for the device, so seldom


class Epoch:
    """One pass over the training set, in the order the seed decides."""

    def __init__(self, job, number, order, *, sync, weights, trace, scored, keep_scores):
        self.number = number
        self.samples = 0  # labels trained on so far in this epoch
        self._job = job
        self._order = order
        self._sync = sync
        self._weights = weights
        self._trace = trace  # so many first steps
        self._first = max(trace, 1) if number == 1 else 0  # so many steps are reported whatever the time is
        self._scored = scored
        self._keep_scores = keep_scores
        self._steps = 0
        self._labels = 0  # of the whole batch that is trained on; a text has one for each character
        self._loss = None

    def batches(self, x, y, slots=None):
        """Yield the full batches (x, y) of this epoch as NumPy arrays; a last partial batch is left out. Where ranks
        are processes, each gets its part of every batch.

        `slots()` returns the arrays, of a batch of x and one of y, into which the next batch is gathered: for example
        memory that a GPU can copy from by itself. By default each batch is in new memory. Only for an x and a y that
        are contiguous, which windows of a text are not.
        The clock runs from the first batch to the end of the loop over them, from one idle device to the next."""
        batch = self._job.settings["batch"]
        self._sync()
        self._began = self._reported = clock()
        for first in range(0, len(self._order) - batch + 1, batch):
            own = first + self._job.rank * self._job.batch
            chosen = self._order[own : own + self._job.batch]
            if slots is None:
                samples, labels = x[chosen], y[chosen]
            else:
                # Any other mode than "clip" gathers into a buffer first. There is no number to be clipped in an order.
                samples, labels = (
                    array.take(chosen, axis=0, out=slot, mode="clip") for array, slot in zip((x, y), slots())
                )
            self._labels = labels.size * self._job.processes
            yield samples, labels
            self.samples += self._labels
        self._sync()
        seconds = clock() - self._began
        self._job.events.emit("epoch", epoch=self.number, samples=self.samples, seconds=seconds, loss=self._last_loss())

    def step(self, loss):
        """After every training step. `loss` is the mean loss of the whole batch: anything float() takes, or a function
        returning that; it is only read, and the device waited for, now and then."""
        self._steps += 1
        self._loss = loss
        if self._steps > self._first and clock() - self._reported < STEP_INTERVAL:
            return
        last = self._last_loss()
        self._sync()
        self._reported = clock()
        self._job.events.emit(
            "step",
            epoch=self.number,
            step=self._steps,
            samples=self.samples + self._labels,
            seconds=self._reported - self._began,
            loss=last,
        )
        if self._steps == 1 and self._trace:
            self._job.keep_weights(self._weights())
            self._began += clock() - self._reported  # training stood still meanwhile

    def score(self, predict, x, y, pad=False):
        """Count correct predictions over all of `x`, the last partial batch included. Only the last epoch is scored,
        unless the job asks for a learning curve; the training clock stands still meanwhile.

        `predict` takes a batch and returns an array of scores, (n, classes). `pad=True` fills the last batch up for
        frameworks with a fixed batch size; the filling is not scored. A job with a trace keeps all
        scores: they show what training made of the weights, and the model as it is when it does not train."""
        self._score(predict, x, y, pad, _correct, lambda correct: {"correct": correct})

    def score_loss(self, predict, x, y, pad=False):
        """The same for a workload that is scored by a loss: the mean negative log-likelihood, in nats, of `y`, where
        the scores that `predict` returns are logits, (n, classes) or (n, ..., classes) as `y` is (n,) or (n, ...)."""
        self._score(predict, x, y, pad, _negative_log_likelihood, lambda loss: {"loss": loss / y.size})

    def _score(self, predict, x, y, pad, count, fields):
        """Add up `count(scores, labels)` over all batches and emit `fields(sum)`."""
        if not self._scored or self._job.rank > 0:
            return
        batch = self._job.settings["batch"]
        total, kept = 0, []
        began = clock()
        for first in range(0, len(x), batch):
            inputs, wanted = x[first : first + batch], y[first : first + batch]
            if pad and len(inputs) < batch:
                inputs = np.concatenate([inputs, np.repeat(inputs[-1:], batch - len(inputs), axis=0)])
            scores = np.asarray(predict(inputs))[: len(wanted)]
            if scores.shape[:-1] != wanted.shape:
                raise ValueError("predict returned shape {} for {} samples".format(scores.shape, len(wanted)))
            if not np.isfinite(scores).all():
                raise Diverged("the model's scores on the test set are not finite")
            total += count(scores, wanted)
            if self._keep_scores:
                kept.append(scores.reshape(-1, scores.shape[-1]).copy())  # a framework may use its memory again
        self._job.events.emit("score", samples=y.size, seconds=clock() - began, **fields(total))
        if self._keep_scores:
            self._job.artifact("scores-0", np.concatenate(kept))

    def _last_loss(self):
        """The loss of the latest step as a float. Raises Diverged when it is not finite."""
        loss = float(self._loss() if callable(self._loss) else self._loss)
        if not np.isfinite(loss):
            raise Diverged("loss is {} in epoch {}, step {}".format(loss, self.number, self._steps))
        return loss


def _correct(scores, labels):
    """How many predictions are correct."""
    return int((scores.argmax(axis=-1) == labels).sum())


def _negative_log_likelihood(logits, labels):
    """The sum of -log softmax(logits)[label] over all labels, in float64."""
    logits = logits.astype(np.float64)
    logits -= logits.max(axis=-1, keepdims=True)
    chosen = np.take_along_axis(logits, labels[..., None].astype(np.int64), axis=-1)
    return float(np.log(np.exp(logits).sum(axis=-1)).sum() - chosen.sum())
