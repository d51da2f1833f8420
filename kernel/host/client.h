// The client of the host: synchronous calls by exit, the asynchronous ring for what may block, shared memory.
//
// A synchronous call fills this vCPU's call slot and leaves the enclave; nothing else runs on the vCPU meanwhile, so each vCPU has a part
// of the bounce arena of its own (kBouncePerVcpu bytes) that such calls use without a lock.
#ifndef KERNEL_HOST_CLIENT_H
#define KERNEL_HOST_CLIENT_H

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "host_abi/entry.h"
#include "kernel/base/result.h"
#include "kernel/host/untrusted.h"

namespace kernel::host {

inline constexpr std::size_t kBouncePerVcpu = 64 * 1024;

// Checks and keeps the boot block's addresses. EINVAL if the host's block makes no sense (overlaps the enclave, too small, bad version).
Result<> client_init(std::uint64_t boot_block_address);
const host_abi::BootBlock& boot();  // the kernel's checked copy

struct CallArgs {
  std::array<std::uint64_t, 4> args{};
  std::span<const std::byte> out;  // copied to the bounce buffer before the call
  std::span<std::byte> in;         // filled from the bounce buffer after the call: as many bytes as the result says (see `in_exact`)
  bool in_exact = false;           // the call fills all of `in` or fails
};
// One synchronous call. The result is >= 0 and at most max(out.size(), in.size()) when a buffer is used; errors are allow-listed.
Result<std::uint64_t> call(host_abi::Op op, const CallArgs& args);
Result<std::uint64_t> call(host_abi::Op op, std::uint64_t a = 0, std::uint64_t b = 0, std::uint64_t c = 0);

// Waits for events on a host handle through the ring: parks the running thread only. POLL* bits; a deadline as park().
Result<std::uint32_t> wait_ready(std::uint32_t handle, std::uint32_t events, std::uint64_t deadline);
// Watches a host handle once: `on_ready` is called (kernel context, may not wait) when the host says so. For epoll and poll.
class Watch {
 public:
  virtual void on_ready(std::uint32_t events) = 0;

 protected:
  ~Watch() = default;
};
Result<> watch(std::uint32_t handle, std::uint32_t events, Watch& watch);
void unwatch(Watch& watch);

// Looks at the completion ring; true if something was completed. Any kernel context without spinlocks.
bool poll_completions();

// Reads of untrusted memory. EIO if the host took it away.
Result<> copy_from_host(std::span<std::byte> into, std::uint64_t address);
Result<> copy_to_host(std::uint64_t address, std::span<const std::byte> from);
std::uint32_t load_host_u32(std::uint64_t address);
void store_host_u32(std::uint64_t address, std::uint32_t value);
std::uint32_t exchange_host_u32(std::uint64_t address, std::uint32_t value);
// True if [address, address + size) lies outside ELRANGE and does not wrap.
bool is_outside(std::uint64_t address, std::uint64_t size);

// The word of this vCPU that its host thread sleeps on (host_abi::kVcpuIdle / kVcpuRunning).
void set_idle_word(bool idle);
// Bits that the host set for this vCPU (host_abi::kPending*), taken and cleared.
std::uint32_t take_pending();
// Signals (bit n-1 = signal n) that the host wants the first process to get, taken and cleared.
std::uint64_t take_user_signals();
bool has_user_signals();

}  // namespace kernel::host
#endif  // KERNEL_HOST_CLIENT_H
