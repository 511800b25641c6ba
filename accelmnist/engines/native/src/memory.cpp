#include "memory.h"

#include <cstdint>
#include <cstdlib>
#include <new>

namespace accelmnist {

void Free::operator()(void* memory) const { std::free(memory); }  // free also clears the sanitizer's poison

Memory allocate_zeros(size_t bytes) {
    Memory memory(std::calloc(bytes + kLine, 1));  // lazily zeroed: most of a list's capacity is never touched
    if (!memory) throw std::bad_alloc();
    return memory;
}

char* first_line(void* memory) {
    return reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(memory) + kLine - 1) / kLine * kLine);
}

}  // namespace accelmnist
