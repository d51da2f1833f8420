// Values and bytes from the host (rule untrusted-host). An Untrusted<T> is not a T: it becomes one only through a check.
#ifndef KERNEL_HOST_UNTRUSTED_H
#define KERNEL_HOST_UNTRUSTED_H

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernel/base/result.h"

namespace kernel::host {

template <class T>
class Untrusted {
 public:
  explicit constexpr Untrusted(T raw) : raw_(raw) {}
  // The value if it lies in [low, high].
  Result<T> in_range(T low, T high) const {
    if (raw_ < low || raw_ > high) return Errno::io;
    return raw_;
  }
  // For values that mean nothing dangerous whatever they are (clock samples, flags that are masked): the caller says why in a comment.
  constexpr T raw_value() const { return raw_; }

 private:
  T raw_;
};

// The error of a host call, allow-listed: anything unexpected is EIO.
Errno host_error(std::int64_t result);

}  // namespace kernel::host
#endif  // KERNEL_HOST_UNTRUSTED_H
