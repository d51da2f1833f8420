// From registers to a handler's typed parameters: the handler's own types are the whole definition of a call.
#ifndef KERNEL_SYSCALL_BIND_H
#define KERNEL_SYSCALL_BIND_H

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "kernel/base/result.h"
#include "kernel/base/types.h"
#include "kernel/frame/user.h"
#include "kernel/frame/vcpu_block.h"
#include "kernel/task/task.h"

namespace kernel {

using RawArgs = std::array<std::uint64_t, 6>;

// One parameter from its register. Integers are truncated to their width, as the ABI does.
template <class T>
struct Decode {
  static_assert(std::is_integral_v<T> || std::is_enum_v<T>, "no decoder for this parameter type");
  static T from(std::uint64_t raw) { return static_cast<T>(raw); }
};
template <class T>
struct Decode<UserPtr<T>> {
  static UserPtr<T> from(std::uint64_t raw) { return UserPtr<T>(raw); }
};

using SyscallFunction = Result<std::uint64_t> (*)(Task& task, const RawArgs& args, frame::TrapFrame& frame);

template <auto kFn>
struct Bind;

// R = void or an integer. A parameter `frame::TrapFrame&` (last) receives the registers.
template <class R, class... A, Result<R> (*kFn)(Task&, A...)>
struct Bind<kFn> {
  static Result<std::uint64_t> call(Task& task, const RawArgs& raw, [[maybe_unused]] frame::TrapFrame& frame) {
    return invoke(task, raw, frame, std::index_sequence_for<A...>{});
  }

 private:
  template <class T>
  static decltype(auto) argument(const RawArgs& raw, std::size_t index, frame::TrapFrame& frame) {
    if constexpr (std::is_same_v<T, frame::TrapFrame&>)
      return (frame);
    else
      return Decode<T>::from(index < raw.size() ? raw[index] : 0);
  }
  template <std::size_t... i>
  static Result<std::uint64_t> invoke(Task& task, [[maybe_unused]] const RawArgs& raw, frame::TrapFrame& frame, std::index_sequence<i...>) {
    static_cast<void>(frame);
    if constexpr (std::is_void_v<R>) {
      TRY(kFn(task, argument<A>(raw, i, frame)...));
      return std::uint64_t{0};
    } else {
      return static_cast<std::uint64_t>(TRY(kFn(task, argument<A>(raw, i, frame)...)));
    }
  }
};

}  // namespace kernel
#endif  // KERNEL_SYSCALL_BIND_H
