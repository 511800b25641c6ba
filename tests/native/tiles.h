// What stands in for a processor's tiles, so that the level `amx` runs everywhere and under the sanitizers: the same
// functions as the kernels' own tiles.h, by the pseudocode of Intel's manual.

#pragma once

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace accelmnist {
namespace ACCELMNIST_LEVEL {

struct Tile {
    uint32_t rows[16][16];
};
static thread_local Tile tiles[8];
static thread_local bool are_set_up = false;

class TileUnit {
public:
    TileUnit() {
        if (are_set_up) std::abort();
        are_set_up = true;
    }
    ~TileUnit() { are_set_up = false; }
};

static inline Tile& tile_of(int number) {
    if (!are_set_up) std::abort();  // the processor would raise an exception
    return tiles[number];
}

template <int kTile>
static inline void zero_tile() {
    tile_of(kTile) = {};
}

template <int kTile>
static inline void load_tile(const void* from, int64_t stride) {
    for (int row = 0; row < 16; ++row)
        std::memcpy(tile_of(kTile).rows[row], static_cast<const char*>(from) + row * stride * 4, 64);
}

template <int kTile>
static inline void store_tile(void* to, int64_t stride) {
    for (int row = 0; row < 16; ++row)
        std::memcpy(static_cast<char*>(to) + row * stride * 4, tile_of(kTile).rows[row], 64);
}

static inline float half_of(uint32_t pair, bool is_second) {
    const uint32_t bits = is_second ? pair & 0xffff0000u : pair << 16;
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
}

template <int kSums, int kLeft, int kRight>
static inline void multiply_tiles() {
    for (int row = 0; row < 16; ++row)
        for (int column = 0; column < 16; ++column) {
            float parts[2] = {}, sum;
            for (int pair = 0; pair < 16; ++pair)
                for (int side = 0; side < 2; ++side)
                    parts[side] += half_of(tile_of(kLeft).rows[row][pair], side) *  // exact
                                   half_of(tile_of(kRight).rows[pair][column], side);
            std::memcpy(&sum, &tile_of(kSums).rows[row][column], 4);
            sum += parts[0] + parts[1];
            std::memcpy(&tile_of(kSums).rows[row][column], &sum, 4);
        }
}

}  // namespace ACCELMNIST_LEVEL
}  // namespace accelmnist
