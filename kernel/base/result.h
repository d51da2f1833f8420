// Result<T>: a value or an Errno. The only way a kernel function fails (rule result-or-void).
//
//   Result<Ref<File>> open(...) { if (bad) return Errno::inval; ... }
//   const Ref<File> file = TRY(open(...));      // returns the error to our caller
#ifndef KERNEL_BASE_RESULT_H
#define KERNEL_BASE_RESULT_H

#include <expected>
#include <type_traits>
#include <utility>

#include "kernel/base/config.h"
#include "kernel/base/errno.h"

namespace kernel {

template <class T = void>
class [[nodiscard]] Result {
 public:
  using Value = T;
  Result(Errno error) : value_(std::unexpected(error)) {}
  template <class U = T>
    requires(std::is_convertible_v<U, T> && !std::is_same_v<std::remove_cvref_t<U>, Errno> &&
             !std::is_same_v<std::remove_cvref_t<U>, Result>)
  Result(U&& value) : value_(std::in_place, std::forward<U>(value)) {}

  bool ok() const { return value_.has_value(); }
  Errno error() const { return value_.error(); }  // traps if ok()
  T value_or(T fallback) && { return ok() ? std::move(*value_) : std::move(fallback); }

  template <class F>
  auto and_then(F&& next) && -> std::invoke_result_t<F, T&&> {
    if (!ok()) return error();
    return std::forward<F>(next)(std::move(*value_));
  }

  // For TRY and tests: the value, moved out; traps if there is none.
  T release() && { return std::move(value_.value_unchecked_or_trap()); }

 private:
  struct Store : std::expected<T, Errno> {
    using std::expected<T, Errno>::expected;
    T& value_unchecked_or_trap() { return **this; }  // hardened: traps on the wrong state
  };
  Store value_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  using Value = void;
  Result() = default;
  Result(Errno error) : error_(error) {}
  bool ok() const { return error_ == Errno{}; }
  Errno error() const {
    if (ok()) __builtin_trap();
    return error_;
  }
  void release() const {
    if (!ok()) __builtin_trap();
  }

 private:
  Errno error_{};
};

}  // namespace kernel

// The value of a Result, or a return of its error from the enclosing function. May be nested (each use has a name of its own).
#define TRY(...) TRY_NAMED(TRY_JOIN(try_result_, __COUNTER__), __VA_ARGS__)
#define TRY_JOIN(a, b) TRY_JOIN_EXPANDED(a, b)
#define TRY_JOIN_EXPANDED(a, b) a##b
#define TRY_NAMED(name, ...)               \
  ({                                       \
    auto&& name = (__VA_ARGS__);           \
    if (!name.ok()) [[unlikely]]           \
      return name.error();                 \
    std::move(name).release();             \
  })

#endif  // KERNEL_BASE_RESULT_H
