// Counted references and sole ownership (rules counted-references, no-naked-new).
//
// A class that is shared derives from RefCounted<Itself> and is held as Ref<T> (never null) or RefPtr<T>. The last reference deletes
// it. Method names ref()/deref() are what clang's WebKit checkers look for.
#ifndef KERNEL_BASE_REF_H
#define KERNEL_BASE_REF_H

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>
#include <type_traits>
#include <utility>

#include "kernel/base/config.h"
#include "kernel/base/heap.h"
#include "kernel/base/result.h"

namespace kernel {

// Size and alignment of the most derived object travel with it, so that a base-class reference frees the right bytes.
struct HeapExtent {
  std::uint32_t size = 0;
  std::uint32_t align = 0;
};

template <class T>
class RefCounted {
 public:
  RefCounted(const RefCounted&) = delete;
  RefCounted& operator=(const RefCounted&) = delete;

  void ref() const {
    // Relaxed: whoever copies a reference holds one already.
    const std::uint32_t before = count_.fetch_add(1, std::memory_order_relaxed);
    KASSERT(before != 0 && before < 0x7fffffff);
  }
  void deref() const {
    if (count_.fetch_sub(1, std::memory_order_acq_rel) == 1) destroy();
  }
  // A new reference unless the object is already dying. For caches that hold uncounted entries under a lock.
  bool try_ref() const {
    std::uint32_t seen = count_.load(std::memory_order_relaxed);
    while (seen != 0)
      if (count_.compare_exchange_weak(seen, seen + 1, std::memory_order_acquire)) return true;
    return false;
  }
  // Nobody but the caller holds a reference; whatever earlier holders did has happened.
  bool is_unique() const { return count_.load(std::memory_order_acquire) == 1; }
  std::uint32_t ref_count() const { return count_.load(std::memory_order_relaxed); }

  void set_heap_extent(HeapExtent extent) { extent_ = extent; }  // make_ref only

 protected:
  RefCounted() = default;
  ~RefCounted() = default;

 private:
  void destroy() const {
    static_assert(std::is_final_v<T> || std::has_virtual_destructor_v<T>, "a class with subclasses needs a virtual destructor");
    const HeapExtent extent = extent_;
    // SAFETY: RefCounted<T> is a base of T by construction (CRTP), and make_ref allocated extent.size bytes at T's most derived start.
    T* object = const_cast<T*>(static_cast<const T*>(this));
    void* start = object;
    if constexpr (std::is_polymorphic_v<T>) start = dynamic_start(object);
    object->~T();
    heap_free(start, extent.size, extent.align);
  }
  static void* dynamic_start(T* object) {
    // dynamic_cast<void*> needs no RTTI data beyond the vtable's offset-to-top, which is present under -fno-rtti.
    // SAFETY: reads the offset-to-top slot of the Itanium ABI vtable of a live polymorphic object.
    UNSAFE_BUFFERS(const std::ptrdiff_t* vtable = *reinterpret_cast<const std::ptrdiff_t* const*>(object);
                   return reinterpret_cast<char*>(object) + vtable[-2];)
  }

  mutable std::atomic<std::uint32_t> count_{1};
  HeapExtent extent_;
};

template <class T>
class RefPtr;

// Never null but after it was moved from; such a one may only be assigned to or destroyed (bugprone-use-after-move finds other uses, and
// what slips through faults: nothing is mapped at address 0).
template <class T>
class Ref {
 public:
  Ref(const Ref& other) : object_(other.object_) { object_->ref(); }
  Ref(Ref&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  template <class U>
    requires std::is_convertible_v<U*, T*>
  Ref(const Ref<U>& other) : object_(other.get()) {
    object_->ref();
  }
  template <class U>
    requires std::is_convertible_v<U*, T*>
  Ref(Ref<U>&& other) noexcept : object_(other.leak()) {}
  explicit Ref(T& object) : object_(&object) { object_->ref(); }
  Ref& operator=(Ref other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  ~Ref() {
    if (object_ != nullptr) object_->deref();
  }

  T& operator*() const { return *object_; }
  T* operator->() const { return object_; }
  T* get() const { return object_; }
  T* ptr() const { return object_; }
  friend bool operator==(const Ref& a, const Ref& b) { return a.object_ == b.object_; }

  static Ref adopt(T& object) { return Ref(object, Adopt{}); }  // takes over the count that exists
  T* leak() { return std::exchange(object_, nullptr); }         // gives up the count; for conversions between reference types

 private:
  struct Adopt {};
  Ref(T& object, Adopt) : object_(&object) {}
  T* object_;
};

template <class T>
class RefPtr {
 public:
  RefPtr() = default;
  RefPtr(std::nullptr_t) {}
  RefPtr(const RefPtr& other) : object_(other.object_) {
    if (object_ != nullptr) object_->ref();
  }
  RefPtr(RefPtr&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  template <class U>
    requires std::is_convertible_v<U*, T*>
  RefPtr(const Ref<U>& other) : object_(other.get()) {
    object_->ref();
  }
  template <class U>
    requires std::is_convertible_v<U*, T*>
  RefPtr(Ref<U>&& other) noexcept : object_(other.leak()) {}
  template <class U>
    requires std::is_convertible_v<U*, T*>
  RefPtr(RefPtr<U>&& other) noexcept : object_(other.leak()) {}
  template <class U>
    requires std::is_convertible_v<U*, T*>
  RefPtr(const RefPtr<U>& other) : object_(other.get()) {
    if (object_ != nullptr) object_->ref();
  }
  explicit RefPtr(T* object) : object_(object) {
    if (object_ != nullptr) object_->ref();
  }
  RefPtr& operator=(RefPtr other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  ~RefPtr() {
    if (object_ != nullptr) object_->deref();
  }

  explicit operator bool() const { return object_ != nullptr; }
  T& operator*() const {
    KASSERT(object_ != nullptr);
    return *object_;
  }
  T* operator->() const {
    KASSERT(object_ != nullptr);
    return object_;
  }
  T* get() const { return object_; }
  T* ptr() const { return object_; }
  Ref<T> as_ref() const { return Ref<T>(**this); }
  T* leak() { return std::exchange(object_, nullptr); }  // gives up the count; for conversions between reference types
  friend bool operator==(const RefPtr& a, const RefPtr& b) { return a.object_ == b.object_; }

 private:
  T* object_ = nullptr;
};

// Allocates and constructs; Errno::nomem if there is no memory.
template <class T, class... Args>
Result<Ref<T>> make_ref(Args&&... args) {
  void* memory = heap_allocate(sizeof(T), alignof(T));
  if (memory == nullptr) return Errno::nomem;
  // SAFETY: memory is fresh, large enough and aligned for T.
  T* object = ::new (memory) T(std::forward<Args>(args)...);
  object->set_heap_extent({.size = sizeof(T), .align = alignof(T)});
  return Ref<T>::adopt(*object);
}

// A sole owner. Moves, never copies; deletes at the end.
template <class T>
class Own {
 public:
  Own() = default;
  Own(std::nullptr_t) {}
  Own(Own&& other) noexcept : object_(std::exchange(other.object_, nullptr)), extent_(other.extent_) {}
  template <class U>
    requires std::is_convertible_v<U*, T*>
  Own(Own<U>&& other) noexcept : object_(other.leak()), extent_(other.extent()) {}
  Own& operator=(Own&& other) noexcept {
    std::swap(object_, other.object_);
    std::swap(extent_, other.extent_);
    return *this;
  }
  ~Own() {
    if (object_ == nullptr) return;
    static_assert(std::is_final_v<T> || !std::is_polymorphic_v<T> || std::has_virtual_destructor_v<T>);
    object_->~T();
    heap_free(object_, extent_.size, extent_.align);
  }
  explicit operator bool() const { return object_ != nullptr; }
  T& operator*() const {
    KASSERT(object_ != nullptr);
    return *object_;
  }
  T* operator->() const {
    KASSERT(object_ != nullptr);
    return object_;
  }
  T* get() const { return object_; }
  HeapExtent extent() const { return extent_; }
  T* leak() {  // gives up ownership; only for Own's conversions
    return std::exchange(object_, nullptr);
  }
  static Own adopt(T* object, HeapExtent extent) {
    Own own;
    own.object_ = object;
    own.extent_ = extent;
    return own;
  }

 private:
  T* object_ = nullptr;
  HeapExtent extent_;
};

template <class T, class... Args>
Result<Own<T>> make_own(Args&&... args) {
  void* memory = heap_allocate(sizeof(T), alignof(T));
  if (memory == nullptr) return Errno::nomem;
  // SAFETY: memory is fresh, large enough and aligned for T.
  return Own<T>::adopt(::new (memory) T(std::forward<Args>(args)...), {.size = sizeof(T), .align = alignof(T)});
}

}  // namespace kernel
#endif  // KERNEL_BASE_REF_H
