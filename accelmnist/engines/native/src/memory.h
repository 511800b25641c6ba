// Zeroed memory for the kernels, from a cache line on.

#pragma once

#include <cstddef>
#include <memory>

namespace accelmnist {

constexpr size_t kLine = 64;  // bytes of a cache line

struct Free {
    void operator()(void* memory) const;
};
using Memory = std::unique_ptr<void, Free>;

// Allocates `bytes` of zeros, counted from the first cache line that starts in them; throws std::bad_alloc.
Memory allocate_zeros(size_t bytes);
char* first_line(void* memory);

}  // namespace accelmnist
