// A processor's tiles (AMX): eight registers of 16 rows of 64 bytes, and the product of two in bf16.
//
// Intel's manual, volume 1, chapter 18. Written in assembler, since a compiler may not know them, and GCC 12's own
// functions don't say that a load reads memory. The processor sets tiles up by the thread, and saves 8 kB of them with
// it as long as they are in use.

#pragma once

#include <cstdint>

namespace accelmnist {
namespace ACCELMNIST_LEVEL {

// Sets this thread's tiles up while it lives: all of 16 rows of 64 bytes.
class TileUnit {
public:
    TileUnit() {
        struct alignas(64) {
            uint8_t palette = 1, start_row = 0, reserved[14] = {};
            uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
            uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
        } const config;
        asm volatile("ldtilecfg %0" : : "m"(config));
    }
    ~TileUnit() { asm volatile("tilerelease"); }
    TileUnit(const TileUnit&) = delete;
    TileUnit& operator=(const TileUnit&) = delete;
};

template <int kTile>
static inline void zero_tile() {
    asm volatile("tilezero %%tmm%c0" : : "i"(kTile));
}

// Rows are `stride` numbers of 32 bits apart.
template <int kTile>
static inline void load_tile(const void* from, int64_t stride) {
    asm volatile("tileloadd (%1,%2,1), %%tmm%c0" : : "i"(kTile), "r"(from), "r"(stride * 4) : "memory");
}

template <int kTile>
static inline void store_tile(void* to, int64_t stride) {
    asm volatile("tilestored %%tmm%c0, (%1,%2,1)" : : "i"(kTile), "r"(to), "r"(stride * 4) : "memory");
}

// sums += left * right: rows of 16 pairs by 16 rows of a pair for each column.
template <int kSums, int kLeft, int kRight>
static inline void multiply_tiles() {
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kSums), "i"(kLeft), "i"(kRight));
}

}  // namespace ACCELMNIST_LEVEL
}  // namespace accelmnist
