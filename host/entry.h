// One entry into the enclave, from C++: the registers of the kernel's exit protocol in and out (host_abi/entry.h).
#ifndef HOST_ENTRY_H
#define HOST_ENTRY_H

#include <ucontext.h>

#include <cstddef>
#include <cstdint>

#include "sgx/arch.h"

namespace host {

// What enter.S reads; offsets are fixed there.
struct EntryFrame {
  sgx::EnterFunction function = nullptr;
  std::uint64_t rdi = 0;
  std::uint64_t rsi = 0;
  std::uint64_t rdx = 0;
  std::uint64_t leaf = 0;
  sgx::EnclaveRun* run = nullptr;
  std::uint64_t landing_rsp = 0;
};
static_assert(offsetof(EntryFrame, rdi) == 8 && offsetof(EntryFrame, leaf) == 32 && offsetof(EntryFrame, run) == 40);
static_assert(offsetof(EntryFrame, landing_rsp) == 48);

// Why the enclave was left.
struct ExitEvent {
  enum class Kind : std::uint8_t {
    exit,         // EEXIT: rdi, rsi, rdx are the kernel's
    fault,        // an exception inside: CSSA went up by one
    entry_fault,  // EENTER itself faulted: the TCS or the enclave is gone
    abandoned,    // abandon() was used on the interrupted thread
    refused,      // the enter function returned an error
  };
  Kind kind = Kind::exit;
  std::uint64_t rdi = 0;
  std::uint64_t rsi = 0;
  std::uint64_t rdx = 0;
  std::uint16_t vector = 0;
  std::uint16_t error_code = 0;
  std::uint64_t address = 0;
};

// Enters a TCS with EENTER or ERESUME and reports how it was left. One object serves one thread and one depth (a nested entry from
// a signal handler needs its own). Async-signal-safe.
class Entry {
 public:
  Entry(sgx::EnterFunction function, std::uint64_t tcs);
  Entry(const Entry&) = delete;
  Entry& operator=(const Entry&) = delete;

  ExitEvent enter(sgx::EncluLeaf leaf, std::uint64_t rdi, std::uint64_t rsi);

  // In a signal handler whose thread stands at the AEP of this entry: makes the entry return Kind::abandoned.
  void abandon(ucontext_t& context) const;

 private:
  static int exit_handler(std::int64_t rdi, std::int64_t rsi, std::int64_t rdx, std::int64_t rsp, std::int64_t r8,
                          std::int64_t r9, sgx::EnclaveRun* run);

  EntryFrame frame_;
  sgx::EnclaveRun run_{};
  ExitEvent event_;
};

}  // namespace host
#endif  // HOST_ENTRY_H
