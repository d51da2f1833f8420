// Vec<T>: a growing array whose growth can fail. Subscripts are checked in every build.
#ifndef KERNEL_BASE_VEC_H
#define KERNEL_BASE_VEC_H

#include <cstddef>
#include <new>
#include <span>
#include <type_traits>
#include <utility>

#include "kernel/base/heap.h"
#include "kernel/base/result.h"

namespace kernel {

// SAFETY: (whole class) data_ points to capacity_ slots of which the first size_ hold live objects; every index is checked against size_.
UNSAFE_BUFFERS_BEGIN
template <class T>
class Vec {
 public:
  Vec() = default;
  Vec(Vec&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)), capacity_(std::exchange(other.capacity_, 0)) {}
  Vec& operator=(Vec&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(capacity_, other.capacity_);
    return *this;
  }
  ~Vec() {
    clear();
    heap_free(data_, capacity_ * sizeof(T), alignof(T));
  }

  std::size_t size() const { return size_; }
  std::size_t capacity() const { return capacity_; }
  bool empty() const { return size_ == 0; }
  T& operator[](std::size_t index) LIFETIMEBOUND {
    KASSERT(index < size_);
    return data_[index];
  }
  const T& operator[](std::size_t index) const LIFETIMEBOUND {
    KASSERT(index < size_);
    return data_[index];
  }
  T& back() LIFETIMEBOUND { return (*this)[size_ - 1]; }
  std::span<T> span() LIFETIMEBOUND { return {data_, size_}; }
  std::span<const T> span() const LIFETIMEBOUND { return {data_, size_}; }
  T* begin() LIFETIMEBOUND { return data_; }
  T* end() LIFETIMEBOUND { return data_ + size_; }
  const T* begin() const LIFETIMEBOUND { return data_; }
  const T* end() const LIFETIMEBOUND { return data_ + size_; }

  // Room for `count` elements in all; afterwards pushes up to there cannot fail.
  Result<> try_reserve(std::size_t count) {
    if (count <= capacity_) return {};
    std::size_t bytes = 0;
    if (__builtin_mul_overflow(count, sizeof(T), &bytes)) return Errno::nomem;
    T* fresh = static_cast<T*>(heap_allocate(bytes, alignof(T)));
    if (fresh == nullptr) return Errno::nomem;
    for (std::size_t i = 0; i < size_; ++i) {
      ::new (static_cast<void*>(fresh + i)) T(std::move(data_[i]));
      data_[i].~T();
    }
    heap_free(data_, capacity_ * sizeof(T), alignof(T));
    data_ = fresh;
    capacity_ = count;
    return {};
  }
  Result<> try_push(T value) {
    if (size_ == capacity_) TRY(try_reserve(capacity_ == 0 ? 4 : capacity_ * 2));
    ::new (static_cast<void*>(data_ + size_)) T(std::move(value));
    ++size_;
    return {};
  }
  Result<> try_insert(std::size_t at, T value) {
    KASSERT(at <= size_);
    TRY(try_push(std::move(value)));
    for (std::size_t i = size_ - 1; i > at; --i) std::swap(data_[i], data_[i - 1]);
    return {};
  }
  // Appends or drops default-constructed elements until size() == count.
  Result<> try_resize(std::size_t count) {
    TRY(try_reserve(count));
    while (size_ > count) pop_back();
    while (size_ < count) ::new (static_cast<void*>(data_ + size_++)) T();
    return {};
  }
  void pop_back() {
    KASSERT(size_ > 0);
    data_[--size_].~T();
  }
  T take_back() {
    KASSERT(size_ > 0);
    T value = std::move(data_[size_ - 1]);
    pop_back();
    return value;
  }
  void erase(std::size_t at) {  // keeps the order
    KASSERT(at < size_);
    for (std::size_t i = at; i + 1 < size_; ++i) data_[i] = std::move(data_[i + 1]);
    pop_back();
  }
  void erase_unordered(std::size_t at) {
    KASSERT(at < size_);
    if (at + 1 != size_) data_[at] = std::move(data_[size_ - 1]);
    pop_back();
  }
  void clear() {
    while (size_ > 0) pop_back();
  }

 private:
  T* data_ = nullptr;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};
UNSAFE_BUFFERS_END

}  // namespace kernel
#endif  // KERNEL_BASE_VEC_H
