// Memory for the kernels: zeros that start at a cache line.

#pragma once

#include <cstddef>
#include <memory>

namespace accelmnist {

constexpr size_t kLine = 64;  // bytes of a cache line

struct Free {
    void operator()(void* memory) const;
};
using Memory = std::unique_ptr<void, Free>;

// `bytes` of zeros behind the first cache line that starts in it; throws std::bad_alloc.
Memory allocate(size_t bytes);
char* first_line(void* memory);

}  // namespace accelmnist
