// Which of eight elements to move to the front, for every choice of eight.

#pragma once

#include "vector.h"

namespace accelmnist {
namespace ACCELMNIST_LEVEL {

#ifdef __AVX2__

struct PlaceTable {
    uint64_t of[256];
};

// The places of the bits that are set, a byte each, the lowest first.
constexpr PlaceTable place_table() {
    PlaceTable table{};
    for (int bits = 0; bits < 256; ++bits) {
        int count = 0;
        for (uint64_t place = 0; place < 8; ++place)
            if (bits >> place & 1) table.of[bits] |= place << (8 * count++);
    }
    return table;
}

static constexpr PlaceTable kPlaceTable = place_table();

#endif

}  // namespace ACCELMNIST_LEVEL
}  // namespace accelmnist
