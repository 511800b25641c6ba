// A classifier, driven by two threads at once and held against the plain reference.

#pragma once

#include <cstring>
#include <thread>
#include <utility>

#include "case.h"
#include "classifier.h"

namespace {

// What a classifier must answer for each of some images.
std::vector<reference::Row> answers(const Case& made, const reference::Parameters& now) {
    std::vector<reference::Row> rows;
    for (int64_t image = 0; image < made.images.size / kPixels; ++image)
        rows.push_back(reference::forward(made.epoch, now, made.images.data + image * kPixels, -1, 0).values.back());
    return rows;
}

// A call with `count` images, the case's over and over from `first` on: right, and for the same image the same bits.
bool answers_as(
    Classifier& classifier, const Case& made, int64_t first, int64_t count, const std::vector<reference::Row>& rows
) {
    Case call;
    const auto known = static_cast<int64_t>(rows.size());
    const Array<uint8_t> images = call.array<uint8_t>(count * kPixels);
    for (int64_t image = 0; image < count; ++image)
        std::memcpy(images.data + image * kPixels, made.images.data + (first + image) % known * kPixels, kPixels);
    Classification job{{images.data, images.size}, call.array<float>(count * kClasses)};
    if (const char* problem = classifier.classify(job)) return std::printf("classify: %s\n", problem), false;
    for (int64_t image = 0; image < count; ++image) {
        const float* logits = job.logits.data + image * kClasses;
        const Array<float> same{job.logits.data + image % known * kClasses, kClasses};
        if (std::memcmp(logits, same.data, kClasses * sizeof(float)))
            return std::puts("other bits for the same image"), false;
        if (!follows(same, rows[static_cast<size_t>((first + image) % known)], "logit")) return false;
    }
    return true;
}

// A classifier refuses what is no whole image, and logits for another number of images.
bool refuses(Classifier& classifier) {
    Case owner;
    const Array<const uint8_t> images = owner.filled<uint8_t>(2 * kPixels, [] { return 1; });
    const Array<float> logits = owner.array<float>(2 * kClasses);
    return classifier.classify({{images.data, images.size - 1}, logits}) &&
           classifier.classify({images, {logits.data, logits.size - 1}}) &&
           classifier.classify({{images.data, kPixels}, logits});
}

// Calls of growing and shrinking sizes on one classifier, by two threads at once. The arrays that it was made from are
// gone.
bool classifies(Case& made, const reference::Parameters& now, Level level) {
    std::unique_ptr<Classifier> classifier;
    {
        Case owner;
        const double worth_a_thread = number(0, 1) ? 1 : kWorthAThread;  // with 1, all that have a chunk
        const Model model{copied(owner, made.epoch.network), made.epoch.threads, worth_a_thread};
        if (const char* problem = make_classifier(model, level, classifier)) return std::puts(problem), false;
    }
    if (!refuses(*classifier)) return std::puts("a bad classification was not refused"), false;
    const std::vector<reference::Row> rows = answers(made, now);
    const auto known = static_cast<int64_t>(rows.size());
    std::vector<std::pair<int64_t, int64_t>> calls[2];  // first image, images
    for (auto& own : calls)
        for (int call = 0; call < 2; ++call)
            own.emplace_back(number(0, known - 1), number(0, 2) ? number(0, 12) : number(40, 100));
    bool is_right[2] = {true, true};
    const auto run = [&](int thread) {
        for (const auto& [first, count] : calls[thread])
            is_right[thread] = is_right[thread] && answers_as(*classifier, made, first, count, rows);
    };
    std::thread other(run, 1);
    run(0);
    other.join();
    return is_right[0] && is_right[1];
}

}  // namespace
