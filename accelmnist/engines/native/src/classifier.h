// A network's weights in the form that the kernels read them in, made once for many calls.
//
// Weights never change after they were made, so all threads and calls read the same ones: they lie in the last-level
// cache once. What a call writes lies in seats, one a thread. Calls may come from several threads at once: each takes
// seats that are idle, and makes those that are missing, so that none waits for another. Seats are kept, as many as
// were ever taken at the same time, so that a call allocates nothing.

#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "engine.h"
#include "layout.h"
#include "seat.h"

namespace accelmnist {

class Classifier {
public:
    Classifier(const Model& model, const Kernels& kernels);  // throws std::bad_alloc
    Classifier(const Classifier&) = delete;
    Classifier& operator=(const Classifier&) = delete;

    // Writes the logits; returns why it can't be done, or nullptr. Throws std::bad_alloc. They do not depend on the
    // number of threads or on which images come together, to the bit.
    const char* classify(const Classification& job);

private:
    class Taken;

    int threads_for(int64_t images) const;

    const Kernels& kernels_;
    const int threads_;
    const double images_a_thread_;  // so many pay for it
    Epoch job_;                     // of no images
    const Layout weights_;
    std::mutex mutex_;  // of the idle seats
    std::vector<std::unique_ptr<Seat>> idle_;
};

const char* make_classifier(const Model& model, Level level, std::unique_ptr<Classifier>& made);

}  // namespace accelmnist
