#include "pixels.h"

namespace accelmnist {

PixelStore::PixelStore(int64_t images)
    : set{},
      starts_(allocate_zeros(static_cast<size_t>(images) * sizeof(uint32_t))),
      records_(allocate_zeros(static_cast<size_t>(images) * kRecordLines * kLine)) {
    set.images = images;
    set.starts = reinterpret_cast<uint32_t*>(first_line(starts_.get()));
    set.records = reinterpret_cast<Element*>(first_line(records_.get()));
}

}  // namespace accelmnist
