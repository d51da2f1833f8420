// Results of the host-side SGX library: a value or one line of text that says what is wrong. No exceptions cross its functions.
#ifndef SGX_RESULT_H
#define SGX_RESULT_H

#include <cstdint>
#include <expected>
#include <span>
#include <string>
#include <utility>

#include "sgx/arch.h"

namespace sgx {

struct Error {
  std::string message;  // one line, no trailing newline
};

template <class T = void>
using Result = std::expected<T, Error>;

inline std::unexpected<Error> fail(std::string message) { return std::unexpected(Error{std::move(message)}); }

// What a leaf function does when it does not succeed: a fault, or an error code in RAX with ZF set.
struct LeafFailure {
  bool general_protection;  // #GP(0): nothing is written, `code` has no meaning
  SgxError code;
  static constexpr LeafFailure gp() { return {true, SgxError::success}; }
  static constexpr LeafFailure error(SgxError code) { return {false, code}; }
  friend constexpr bool operator==(const LeafFailure&, const LeafFailure&) = default;
};

template <class T = void>
using LeafResult = std::expected<T, LeafFailure>;

using Bytes = std::span<const std::uint8_t>;

}  // namespace sgx
#endif  // SGX_RESULT_H
