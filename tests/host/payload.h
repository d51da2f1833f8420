// The test enclave around payload.S: builds its pages and its signature, and writes scripts for it.
#ifndef TESTS_HOST_PAYLOAD_H
#define TESTS_HOST_PAYLOAD_H

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "host/enclave_device.h"
#include "host_abi/entry.h"
#include "sgx/arch.h"
#include "sgx/sigstruct.h"

namespace payload {

// Where things lie in the enclave.
inline constexpr std::uint64_t kSize = 0x400'0000;  // ELRANGE, 64 MiB
inline constexpr std::uint64_t kCode = 0x10'0000;
inline constexpr std::uint64_t kSlots = 0x20'0000;  // one vCPU: TCS, 3 SSA frames, guard, block
inline constexpr std::uint64_t kSlotStride = 0x1'0000;
inline constexpr std::uint64_t kData = 0x40'0000;  // 16 pages RW, not measured, zero
inline constexpr std::uint64_t kDataPages = 16;
inline constexpr std::uint64_t kReadOnly = 0x50'0000;  // one page R
inline constexpr std::uint64_t kFree = 0x100'0000;     // nothing: for EDMM
constexpr std::uint64_t tcs(std::uint32_t vcpu) { return kSlots + vcpu * kSlotStride; }
constexpr std::uint64_t block(std::uint32_t vcpu) { return tcs(vcpu) + 0x5000; }

// Offsets in a vCPU's block (payload.S).
enum Field : std::uint64_t {
  script = 0x00,
  handler_entries = 0x20,
  pending_seen = 0x28,
  last_exitinfo = 0x30,
  faults = 0x40,
  deep_entries = 0x48,
  handler_mode = 0x50,  // what the CSSA 1 handler leaves with; 2: it faults
  entry_code = 0x60,
  entry_argument = 0x68,
  entries = 0x70,
};
inline constexpr std::uint64_t kFaulted = 0xfa11;  // stored where a command names a place for it
inline constexpr std::uint64_t kUntouched = 0x5a5a'5a5a;

struct Command {
  std::uint64_t op, a, b, c;
};

// A list of commands. Addresses of its cells stay valid while it lives.
class Script {
 public:
  Script() { commands_.reserve(512); }
  Script(const Script&) = delete;
  Script& operator=(const Script&) = delete;

  // A new 64-bit cell of untrusted memory for results.
  std::uint64_t& cell(std::uint64_t value = kUntouched);

  Script& exit(host_abi::ExitCode code, std::uint64_t b = 0, std::uint64_t c = 0);
  Script& store(std::uint64_t address, std::uint64_t value, std::uint64_t* status = nullptr);
  Script& put(std::uint64_t& word, std::uint64_t value) { return store(at(word), value); }
  Script& load(std::uint64_t address, std::uint64_t& result);
  Script& store32(std::uint32_t& word, std::uint32_t value);
  Script& move(std::uint64_t& to, const std::uint64_t& from);
  Script& add(std::uint64_t& word, std::uint64_t value);
  Script& wait_equal(const std::uint64_t& word, std::uint64_t value);
  Script& wait_differ(const std::uint64_t& word, std::uint64_t value);
  Script& undefined();
  Script& breakpoint();
  Script& spin(std::uint64_t rounds);
  Script& get(std::uint64_t& to, Field field);
  Script& set(Field field, std::uint64_t value);
  Script& accept(std::uint64_t page, std::uint64_t secinfo_flags, std::uint64_t& result);
  Script& extend(std::uint64_t page, std::uint64_t secinfo_flags, std::uint64_t& result);
  Script& accept_copy(std::uint64_t page, std::uint64_t from, std::uint64_t& result);
  Script& run_code(std::uint64_t address, std::uint64_t& status);
  // The next command's position, for repeat().
  std::size_t here() const { return commands_.size(); }
  Script& repeat(std::size_t from, std::uint64_t times);
  Script& forever(std::size_t from);
  // A synchronous host call through `slot`; its result goes to `result`.
  Script& call(host_abi::CallSlot& slot, const host_abi::CallSlot& request, std::uint64_t& result);
  // kVcpuIdle, then ExitCode::idle.
  Script& idle(host_abi::VcpuBlock& block, std::uint64_t deadline);

  const Command* first() const { return commands_.data(); }

  template <class T>
  static std::uint64_t at(const T& object) {
    return reinterpret_cast<std::uintptr_t>(&object);
  }

 private:
  Script& append(std::uint64_t op, std::uint64_t a = 0, std::uint64_t b = 0, std::uint64_t c = 0);
  std::vector<Command> commands_;  // never grows beyond what was reserved
  std::vector<std::unique_ptr<std::uint64_t>> cells_;
};

// The enclave's pages for a number of vCPUs. `scripts[i]` and `blocks[i]` belong to vCPU i.
class Enclave {
 public:
  Enclave(std::vector<const Script*> scripts, std::vector<host_abi::VcpuBlock*> blocks);

  const sgx::Secs& secs() const { return secs_; }
  const sgx::Sigstruct& sigstruct() const { return sigstruct_; }
  const std::vector<host::PageBatch>& batches() const { return batches_; }
  std::vector<std::uint64_t> tcs_addresses() const;

  // create, add all pages, init.
  host::Status load(host::EnclaveDevice& device) const;

 private:
  struct alignas(4096) Page {
    std::array<std::uint8_t, 4096> bytes{};
  };
  Page& new_page();
  void add(std::uint64_t offset, std::uint64_t flags, bool measure, std::uint64_t pages, const void* source);

  std::vector<std::unique_ptr<Page[]>> memory_;
  std::vector<host::PageBatch> batches_;
  std::size_t vcpus_;
  sgx::Secs secs_{};
  sgx::Sigstruct sigstruct_{};
};

// The key that signs test enclaves; made once per process.
const sgx::SigningKey& signing_key();

// Gives the emulator a fixed device, so that tests leave the user's files alone.
void use_test_device();

}  // namespace payload
#endif  // TESTS_HOST_PAYLOAD_H
