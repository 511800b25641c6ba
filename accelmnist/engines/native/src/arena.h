// Pieces of one allocation, each starting at a cache line.

#pragma once

#include <cstdint>

#include "memory.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

namespace accelmnist {

// An arena without memory only counts, so that a first pass finds the size. The address sanitizer knows the allocation
// only as a whole, so under it a poisoned gap follows each piece.
class Arena {
public:
    explicit Arena(char* memory) : memory_(memory) {}

    template <class Element>
    void take(Element*& piece, int64_t count) {
        const size_t bytes = static_cast<size_t>(count) * sizeof(Element);
        const size_t whole = (bytes + kLine - 1) / kLine * kLine + kGap;
        if (memory_) {
            piece = reinterpret_cast<Element*>(memory_ + used_);
            poison(memory_ + used_ + bytes, whole - bytes);
        }
        used_ += whole;
    }

    size_t used() const { return used_; }

private:
#ifdef __SANITIZE_ADDRESS__
    static constexpr size_t kGap = kLine;
    static void poison(const char* start, size_t bytes) { __asan_poison_memory_region(start, bytes); }
#else
    static constexpr size_t kGap = 0;
    static void poison(const char*, size_t) {}
#endif

    char* memory_;
    size_t used_ = 0;
};

// One allocation for all that `take_all` takes from an arena; throws std::bad_alloc.
template <class TakeAll>
Memory allocate_in_one(TakeAll take_all) {
    Arena counting(nullptr);
    take_all(counting);
    Memory memory = allocate_zeros(counting.used());
    Arena arena(first_line(memory.get()));
    take_all(arena);
    return memory;
}

}  // namespace accelmnist
