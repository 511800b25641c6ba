// Hands out pieces of one allocation, each from the start of a cache line on.

#pragma once

#include <cstdint>

#include "memory.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

namespace accelmnist {

// Without memory it only counts, so that a first pass tells the size. Under the address sanitizer a gap behind each
// piece is forbidden ground, since it knows the allocation only as a whole.
class Arena {
public:
    explicit Arena(char* memory) : memory_(memory) {}

    template <class Element>
    void take(Element*& place, int64_t count) {
        const size_t bytes = static_cast<size_t>(count) * sizeof(Element);
        const size_t whole = (bytes + kLine - 1) / kLine * kLine + kGap;
        if (memory_) {
            place = reinterpret_cast<Element*>(memory_ + used_);
            forbid(memory_ + used_ + bytes, whole - bytes);
        }
        used_ += whole;
    }

    size_t used() const { return used_; }

private:
#ifdef __SANITIZE_ADDRESS__
    static constexpr size_t kGap = kLine;
    static void forbid(const char* place, size_t bytes) { __asan_poison_memory_region(place, bytes); }
#else
    static constexpr size_t kGap = 0;
    static void forbid(const char*, size_t) {}
#endif

    char* memory_;
    size_t used_ = 0;
};

// The memory of all that `place` takes from an arena; throws std::bad_alloc.
template <class Place>
Memory placed(Place place) {
    Arena counting(nullptr);
    place(counting);
    Memory memory = allocate(counting.used());
    Arena placing(first_line(memory.get()));
    place(placing);
    return memory;
}

}  // namespace accelmnist
