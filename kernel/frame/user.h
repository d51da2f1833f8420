// Access to program memory (rules user-address, views-do-not-stay). An address is a number: nothing here can be dereferenced.
//
// Every copy checks that the range lies in the constant user window (wrap-safe) and in areas of the running process, copies with a
// fix-up for #PF, #GP and #AC, lets the address space populate absent pages, and fails with EFAULT. A value is read once. Copies may
// sleep: no spinlock may be held, nor a sleepable mutex (reserve, copy, commit).
#ifndef KERNEL_FRAME_USER_H
#define KERNEL_FRAME_USER_H

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include "kernel/base/checked.h"
#include "kernel/base/result.h"

namespace kernel {

enum class Access : std::uint32_t { read = 1, write = 2, execute = 4 };

// What the running process's memory says about addresses. Implemented by mm::AddressSpace; the running thread carries a pointer.
class UserSpace {
 public:
  // The whole range lies in areas that allow `access`. EFAULT otherwise. Cheap for the area used last. Takes no mutex (it may be
  // called under spinlocks of lower rank than address_ranges).
  virtual Result<> check(std::uint64_t address, std::uint64_t size, Access access) = 0;
  // A copy hit an absent or protected page: make `address` accessible (may sleep, may leave the enclave) or fail with EFAULT.
  virtual Result<> populate(std::uint64_t address, Access access) = 0;

 protected:
  ~UserSpace() = default;
};

namespace frame {
// All-or-error copies between kernel memory and the running process. EFAULT also when the process has no such memory.
Result<> copy_from_user(std::span<std::byte> into, std::uint64_t address);
Result<> copy_to_user(std::uint64_t address, std::span<const std::byte> from);
// Copies up to the first inaccessible byte: how much was copied (EFAULT only if nothing was).
Result<std::size_t> copy_from_user_partial(std::span<std::byte> into, std::uint64_t address);
Result<std::size_t> copy_to_user_partial(std::uint64_t address, std::span<const std::byte> from);
// The bytes of a NUL-terminated string without the NUL into `into`; the length, or ENAMETOOLONG if no NUL came in time.
Result<std::size_t> copy_string_from_user(std::span<char> into, std::uint64_t address);
// Says that the next copy of the running thread follows a locked instruction that comes after this call: the copy then needs no fence of
// its own. Nothing may wait in between; abandon_copy() takes it back if there is no copy after all.
void announce_copy();
void abandon_copy();
Result<> clear_user(std::uint64_t address, std::uint64_t size);
// Atomic access to a 4-byte aligned word (futexes). EFAULT, or EINVAL if misaligned.
Result<std::uint32_t> load_user_word(std::uint64_t address);
// The same without populating absent pages: EAGAIN if the word is not accessible right now. Allowed under spinlocks (the address
// space's check() must be too): futexes compare under their bucket lock and fall back to load_user_word without it.
Result<std::uint32_t> peek_user_word(std::uint64_t address);
Result<std::uint32_t> peek_compare_exchange_user_word(std::uint64_t address, std::uint32_t expected, std::uint32_t desired);
Result<> store_user_word(std::uint64_t address, std::uint32_t value);
// Compare-and-swap: the value found (the swap took place iff it equals `expected`).
Result<std::uint32_t> compare_exchange_user_word(std::uint64_t address, std::uint32_t expected, std::uint32_t desired);
// Returns when every user copy that was under way on another vCPU at the time of the call has ended (design section 6: addresses that one
// process gave up are handed to another only after this). No spinlocks held.
void wait_for_copies();
// The window of addresses programs may have: [user_window_begin, user_window_end).
std::uint64_t user_window_begin();
std::uint64_t user_window_end();
}  // namespace frame

// A value that may go to a program: no padding that could leak kernel bytes.
template <class T>
concept UserWritable = std::is_trivially_copyable_v<T> && std::has_unique_object_representations_v<T>;
template <class T>
concept UserReadable = std::is_trivially_copyable_v<T> && !std::is_pointer_v<T>;

// The address of a T in program memory. Null is an ordinary value of it; ask is_null() where the call gives null a meaning.
template <class T>
class UserPtr {
 public:
  using Target = T;
  constexpr UserPtr() = default;
  constexpr explicit UserPtr(std::uint64_t address) : address_(address) {}
  constexpr bool is_null() const { return address_ == 0; }
  // Only for frame/, mm/ and the tracer (checked by script).
  constexpr std::uint64_t address() const { return address_; }

  Result<std::remove_const_t<T>> load() const
    requires UserReadable<std::remove_const_t<T>>
  {
    std::remove_const_t<T> value{};
    TRY(frame::copy_from_user(std::as_writable_bytes(std::span<std::remove_const_t<T>, 1>(&value, 1)), address_));
    return value;
  }
  Result<> store(const T& value) const
    requires(!std::is_const_v<T> && UserWritable<T>)
  {
    return frame::copy_to_user(address_, std::as_bytes(std::span<const T, 1>(&value, 1)));
  }
  Result<> load_all(std::span<std::remove_const_t<T>> into) const
    requires UserReadable<std::remove_const_t<T>>
  {
    return frame::copy_from_user(std::as_writable_bytes(into), address_);
  }
  Result<> store_all(std::span<const T> from) const
    requires(!std::is_const_v<T> && UserWritable<T>)
  {
    return frame::copy_to_user(address_, std::as_bytes(from));
  }
  // The element `index` places further on; EFAULT if the address wraps.
  Result<UserPtr> at(std::uint64_t index) const {
    std::uint64_t bytes = 0;
    std::uint64_t sum = 0;
    if (__builtin_mul_overflow(index, sizeof(T), &bytes) || __builtin_add_overflow(address_, bytes, &sum)) return Errno::fault;
    return UserPtr(sum);
  }
  template <class U>
  constexpr UserPtr<U> cast() const {
    return UserPtr<U>(address_);
  }

 private:
  std::uint64_t address_ = 0;
};

// A run of bytes in program memory: the target or source of I/O. Consumed from the front.
class UserBytes {
 public:
  UserBytes() = default;
  // EFAULT if the range wraps or goes beyond the user window, as access_ok() of Linux has it. What lies below the window is not mapped:
  // the copy says so, if one takes place at all.
  static Result<UserBytes> at(std::uint64_t address, std::uint64_t size);
  template <class T>
  static Result<UserBytes> at(UserPtr<T> pointer, std::uint64_t size) {
    return at(pointer.address(), size);
  }
  std::uint64_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  std::uint64_t address() const { return address_; }
  UserBytes first(std::uint64_t count) const { return {address_, count < size_ ? count : size_}; }
  UserBytes skip(std::uint64_t count) const { return count < size_ ? UserBytes{address_ + count, size_ - count} : UserBytes{address_ + size_, 0}; }

  // Copies min(size, span) bytes; returns how many. EFAULT if the first byte is inaccessible.
  Result<std::size_t> copy_out(std::span<const std::byte> from) const { return frame::copy_to_user_partial(address_, from.first(from.size() < size_ ? from.size() : size_)); }
  Result<std::size_t> copy_in(std::span<std::byte> into) const { return frame::copy_from_user_partial(into.first(into.size() < size_ ? into.size() : size_), address_); }

 private:
  UserBytes(std::uint64_t address, std::uint64_t size) : address_(address), size_(size) {}
  std::uint64_t address_ = 0;
  std::uint64_t size_ = 0;
};

}  // namespace kernel
#endif  // KERNEL_FRAME_USER_H
