/*
The epochs of a training: their batches, their clock and their score. Includes bench.hpp, and adds to its vocabulary:

    bench::epochs(job, sync, weights, function) do function(epoch) for every epoch; within each of them
        epoch.batches(x, y, function)               function(x, y) for every batch, and the training clock around them
        epoch.step(loss)                            a training step is done
        epoch.score(predict, x, y, pad)             accuracy over all test samples

`weights` shows the weights as they are now, under the names and in the shapes of job.weights(), so that the result
shows whether a training step did what it should. It has no default, and neither has `sync`.
*/
#pragma once

#include <functional>

#include "bench.hpp"

namespace bench {

constexpr double STEP_INTERVAL = 0.5;  // seconds between two `step` events; reading a loss may wait for the device

// One pass over the training set, in the order the seed decides.
class Epoch {
  public:
    // The numbers of all `weights`, by name; `order`: the samples of this epoch.
    Epoch(Job& job, size_t number, std::vector<int32_t> order, std::function<void()> sync,
          std::function<std::map<std::string, Array>()> weights)
        : job_(job), number_(number), order_(std::move(order)), sync_(std::move(sync)), weights_(std::move(weights)) {
        const bool last = number == job.settings().at("epochs");
        trace_ = number == 1 ? job.trace() : 0;
        first_ = number == 1 ? std::max<size_t>(trace_, 1) : 0;
        scored_ = last || job.learning_curve();
        keep_scores_ = last && job.trace() > 0;
    }

    size_t number() const { return number_; }    // from 1
    size_t samples() const { return samples_; }  // labels trained on so far in this epoch

    // Do `train(x, y)` for the full batches of this epoch; a last partial batch is left out. The clock runs from the
    // first batch to the end of the last, from one idle device to the next.
    template <typename Sample, typename Label, typename Train>
    void batches(const ArrayOf<Sample>& x, const ArrayOf<Label>& y, Train train) {
        const size_t batch = job_.settings().at("batch");
        sync_();
        began_ = reported_ = clock();
        for (size_t first = 0; first + batch <= order_.size(); first += batch) {
            const std::vector<size_t> chosen(order_.begin() + first, order_.begin() + first + batch);
            const ArrayOf<Label> labels = pick(y, chosen);
            labels_ = labels.data.size();
            train(pick(x, chosen), labels);
            samples_ += labels_;
        }
        sync_();
        const double seconds = clock() - began_;
        job_.events().emit(
            "epoch", {{"epoch", number_}, {"samples", samples_}, {"seconds", seconds}, {"loss", last_loss()}});
    }

    // After every training step. `loss` is the mean loss of the batch, a number or a function that returns it; it is
    // only read, and the device waited for, now and then. The last one is also read when the epoch has ended, so a
    // function must own what it reads.
    template <typename Loss>
    void step(Loss loss) {
        steps_++;
        if constexpr (std::is_invocable_v<Loss>) loss_ = std::move(loss);
        else loss_ = [loss] { return static_cast<double>(loss); };
        if (steps_ > first_ && clock() - reported_ < STEP_INTERVAL) return;
        const double last = last_loss();
        sync_();
        reported_ = clock();
        job_.events().emit("step", {{"epoch", number_}, {"step", steps_}, {"samples", samples_ + labels_},
                                    {"seconds", reported_ - began_}, {"loss", last}});
        if (steps_ == 1 && trace_ > 0) {
            keep_weights();
            began_ += clock() - reported_;  // training stood still meanwhile
        }
    }

    // Count correct predictions over all of `x`, the last partial batch included. Only the last epoch is scored, unless
    // the job asks for a learning curve; the training clock stands still meanwhile.
    //
    // `predict` takes a batch and returns an array of scores, (n, classes). `pad` fills the last batch up for frameworks
    // with a fixed batch size; the filling is not scored. A job with a trace keeps all scores: they show what training
    // made of the weights, and the model as it is when it does not train.
    template <typename Predict, typename Sample, typename Label>
    void score(Predict predict, const ArrayOf<Sample>& x, const ArrayOf<Label>& y, bool pad = false) {
        if (!scored_) return;
        using Scores = std::decay_t<decltype(predict(x))>;
        const size_t batch = job_.settings().at("batch"), all = y.data.size();
        size_t correct = 0;
        Scores kept;
        const double began = clock();
        for (size_t first = 0; first < all; first += batch) {
            const size_t wanted = std::min(batch, all - first);
            std::vector<size_t> chosen(pad ? batch : wanted);
            for (size_t i = 0; i < chosen.size(); i++) chosen[i] = std::min(first + i, all - 1);
            const Scores scores = predict(pick(x, chosen));
            const size_t classes = check(scores, chosen.size());
            for (size_t i = 0; i < wanted; i++) {
                const auto row = scores.data.begin() + i * classes;
                correct += std::max_element(row, row + classes) - row == y.data[first + i];
            }
            if (!keep_scores_) continue;
            kept.data.insert(kept.data.end(), scores.data.begin(), scores.data.begin() + wanted * classes);
            kept.shape = {first + wanted, classes};
        }
        job_.events().emit("score", {{"samples", all}, {"correct", correct}, {"seconds", clock() - began}});
        if (keep_scores_) job_.artifact("scores-0", kept);
    }

  private:
    // The number of classes in the scores of `samples` samples.
    template <typename Number>
    static size_t check(const ArrayOf<Number>& scores, size_t samples) {
        const auto& shape = scores.shape;
        if (shape.size() != 2 || shape[0] != samples || shape[1] == 0 || scores.data.size() != samples * shape[1])
            throw std::runtime_error("predict must return an array of shape (samples, classes)");
        for (const Number each : scores.data)
            if (!std::isfinite(each)) throw Diverged("the model's scores on the test set are not finite");
        return shape[1];
    }

    // Keep the weights after the first step, each as the artifact weights-1.NAME.
    void keep_weights() {
        const auto found = weights_();
        for (const auto& [name, initial] : job_.weights()) {
            const Array& array = found.at(name);
            if (array.shape != initial.shape) throw std::runtime_error("weight " + name + " has another shape now");
            job_.artifact("weights-1." + name, array);
        }
    }

    // The loss of the latest step. Throws Diverged when it is not finite.
    double last_loss() const {
        const double loss = loss_();
        if (std::isfinite(loss)) return loss;
        const std::string text = std::isnan(loss) ? "nan" : loss > 0 ? "inf" : "-inf";
        throw Diverged("loss is " + text + " in epoch " + std::to_string(number_) + ", step " + std::to_string(steps_));
    }

    Job& job_;
    size_t number_;
    std::vector<int32_t> order_;
    std::function<void()> sync_;
    std::function<std::map<std::string, Array>()> weights_;
    size_t trace_;  // so many first steps
    size_t first_;  // so many steps are reported whatever the time is
    bool scored_, keep_scores_;
    size_t samples_ = 0, steps_ = 0;
    size_t labels_ = 0;  // of the batch that is trained on
    double began_ = 0, reported_ = 0;
    std::function<double()> loss_;
};

// Do `train(epoch)` for every epoch of the training. `weights` returns all weights, like job.weights(), as they are when
// called. It is called after the first step of a job with a trace, and never in a job that is timed.
template <typename Sync, typename Weights, typename Train>
void epochs(Job& job, Sync sync, Weights weights, Train train) {
    const auto order = load<int32_t>(job.input("order.npy"));
    const size_t epochs = job.settings().at("epochs"), size = sample_size(order);
    if (order.shape[0] < epochs) throw Unreadable("order.npy has fewer epochs than the job");
    for (size_t number = 1; number <= epochs; number++) {
        const auto first = order.data.begin() + (number - 1) * size;
        Epoch epoch(job, number, {first, first + size}, sync, weights);
        train(epoch);
    }
}

}  // namespace bench
