// A table for compaction: which of eight elements move to the front, for every choice among eight.

#pragma once

#include "vector.h"

namespace accelmnist {
namespace ACCELMNIST_LEVEL {

#ifdef __AVX2__

struct CompactionTable {
    uint64_t of[256];
};

// The indices of the bits that are set, a byte each, the lowest first.
constexpr CompactionTable compaction_table() {
    CompactionTable table{};
    for (int bits = 0; bits < 256; ++bits) {
        int count = 0;
        for (uint64_t bit = 0; bit < 8; ++bit)
            if (bits >> bit & 1) table.of[bits] |= bit << (8 * count++);
    }
    return table;
}

static constexpr CompactionTable kCompactionTable = compaction_table();

#endif

}  // namespace ACCELMNIST_LEVEL
}  // namespace accelmnist
