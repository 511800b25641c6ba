// A classifier, driven by two threads at once and compared with the plain reference.

#pragma once

#include <cstring>
#include <thread>
#include <utility>

#include "case.h"
#include "classifier.h"

namespace {

// The logits that a classifier must return for each image.
std::vector<reference::Row> answers(const Case& fuzzed, const reference::Parameters& now) {
    std::vector<reference::Row> rows;
    for (int64_t image = 0; image < fuzzed.images.size / kPixels; ++image)
        rows.push_back(
            reference::forward(fuzzed.epoch, now, fuzzed.images.data + image * kPixels, -1, 0).values.back()
        );
    return rows;
}

// Checks a call with `count` images, the case's repeated from `first` on: right, and the same bits for the same image.
bool answers_as(
    Classifier& classifier, const Case& fuzzed, int64_t first, int64_t count, const std::vector<reference::Row>& rows
) {
    Case call;
    const auto known = static_cast<int64_t>(rows.size());
    const Array<uint8_t> images = call.array<uint8_t>(count * kPixels);
    for (int64_t image = 0; image < count; ++image)
        std::memcpy(images.data + image * kPixels, fuzzed.images.data + (first + image) % known * kPixels, kPixels);
    Classification job{{images.data, images.size}, call.array<float>(count * kClasses)};
    if (const char* problem = classifier.classify(job)) return std::printf("classify: %s\n", problem), false;
    for (int64_t image = 0; image < count; ++image) {
        const float* logits = job.logits.data + image * kClasses;
        const Array<float> same{job.logits.data + image % known * kClasses, kClasses};
        if (std::memcmp(logits, same.data, kClasses * sizeof(float)))
            return std::puts("other bits for the same image"), false;
        const reference::Row& expected = rows[static_cast<size_t>((first + image) % known)];
        if (!follows(same, expected, "logit", tolerance_of(fuzzed.epoch))) return false;
    }
    return true;
}

// Whether a classifier refuses a part of an image, and logits for another number of images.
bool refuses(Classifier& classifier) {
    Case owner;
    const Array<const uint8_t> images = owner.filled<uint8_t>(2 * kPixels, [] { return 1; });
    const Array<float> logits = owner.array<float>(2 * kClasses);
    return classifier.classify({{images.data, images.size - 1}, logits}) &&
           classifier.classify({images, {logits.data, logits.size - 1}}) &&
           classifier.classify({{images.data, kPixels}, logits});
}

// Checks calls of growing and shrinking sizes on one classifier, by two threads at once. The arrays that it was made
// from are gone.
bool classifies(Case& fuzzed, const reference::Parameters& now, Level level) {
    std::unique_ptr<Classifier> classifier;
    {
        Case owner;
        const double min_work_per_thread = number(0, 1) ? 1 : kMinWorkPerThread;  // with 1, each chunk has a thread
        const Model model{
            copied(owner, fuzzed.epoch.network), fuzzed.epoch.threads, fuzzed.epoch.precision, min_work_per_thread
        };
        if (const char* problem = make_classifier(model, level, classifier)) return std::puts(problem), false;
    }
    if (!refuses(*classifier)) return std::puts("a bad classification was not refused"), false;
    const std::vector<reference::Row> rows = answers(fuzzed, now);
    const auto known = static_cast<int64_t>(rows.size());
    std::vector<std::pair<int64_t, int64_t>> calls[2];  // first image, images
    for (auto& own : calls)
        for (int call = 0; call < 2; ++call)
            own.emplace_back(number(0, known - 1), number(0, 2) ? number(0, 12) : number(40, 100));
    bool is_right[2] = {true, true};
    const auto run = [&](int thread) {
        for (const auto& [first, count] : calls[thread])
            is_right[thread] = is_right[thread] && answers_as(*classifier, fuzzed, first, count, rows);
    };
    std::thread other(run, 1);
    run(0);
    other.join();
    return is_right[0] && is_right[1];
}

}  // namespace
