#include "kernel/host/client.h"

#include <algorithm>

#include "host_abi/vcpu_limit.h"
#include "kernel/frame/bytes.h"
#include "kernel/frame/code.h"
#include "kernel/frame/host_memory.h"
#include "kernel/frame/layout.h"
#include "kernel/frame/vcpu_block.h"
#include "kernel/host/config.h"

namespace kernel::host {
namespace {

constinit host_abi::BootBlock the_boot{};
constinit std::atomic<std::uint64_t> next_token{1};

std::uint64_t shared_block(std::uint32_t vcpu) { return the_boot.vcpus + std::uint64_t{vcpu} * sizeof(host_abi::VcpuBlock); }
std::uint64_t call_slot(std::uint32_t vcpu) { return shared_block(vcpu) + offsetof(host_abi::VcpuBlock, call); }

Result<> require_outside(std::uint64_t address, std::uint64_t size, std::uint64_t align) {
  if (address % align != 0 || !frame::outside_enclave(address, size)) return Errno::inval;
  return {};
}

}  // namespace

Errno host_error(std::int64_t result) {
  // errno values that host calls may have; anything else is the host talking nonsense.
  constexpr std::array<Errno, 21> kAllowed{Errno::perm, Errno::intr,  Errno::io,    Errno::nxio,  Errno::badf,  Errno::again, Errno::nomem,
                                           Errno::fault, Errno::busy, Errno::nodev, Errno::inval, Errno::nfile, Errno::mfile, Errno::notty,
                                           Errno::fbig, Errno::nospc, Errno::spipe, Errno::rofs,  Errno::pipe,  Errno::nosys, Errno::timedout};
  for (const Errno errno_value : kAllowed)
    if (-static_cast<std::int64_t>(errno_value) == result) return errno_value;
  return Errno::io;
}

Result<> client_init(std::uint64_t address) {
  TRY(require_outside(address, sizeof(host_abi::BootBlock) + 16, 8));
  host_abi::BootBlock copy{};
  TRY(frame::copy_from_outside(std::as_writable_bytes(std::span<host_abi::BootBlock, 1>(&copy, 1)), address));
  if (copy.version != host_abi::kAbiVersion || copy.vcpu_count == 0 || copy.vcpu_count > host_abi::kMaxVcpus) return Errno::inval;
  copy.vcpu_count = std::min(copy.vcpu_count, host_abi::vcpu_limit(config(), frame::layout().tcs_slots));
  TRY(require_outside(copy.vcpus, sizeof(host_abi::VcpuBlock) * copy.vcpu_count, 64));
  TRY(require_outside(copy.rings, sizeof(host_abi::Rings), 64));
  TRY(require_outside(copy.clock, sizeof(host_abi::ClockPage), 8));
  TRY(require_outside(copy.arena, copy.arena_size, kPageSize));
  if (copy.arena_size < std::uint64_t{copy.vcpu_count} * kBouncePerVcpu) return Errno::inval;
  TRY(require_outside(copy.user_signal, 8, 8));
  TRY(require_outside(copy.image, copy.image_size, kPageSize));
  TRY(require_outside(copy.strings, copy.strings_size, 1));
  the_boot = copy;
  return {};
}

const host_abi::BootBlock& boot() { return the_boot; }

Result<std::uint64_t> call(host_abi::Op op, const CallArgs& args) {
  const std::uint32_t vcpu = frame::this_vcpu().index;
  KASSERT(args.out.size() <= kBouncePerVcpu && args.in.size() <= kBouncePerVcpu);
  host_abi::CallSlot slot{};
  slot.token = next_token.fetch_add(1, std::memory_order_relaxed);
  slot.op = static_cast<std::uint32_t>(op);
  std::copy(args.args.begin(), args.args.end(), slot.args);
  slot.buffer = the_boot.arena + std::uint64_t{vcpu} * kBouncePerVcpu;
  slot.length = std::max(args.out.size(), args.in.size());
  if (!args.out.empty()) TRY(frame::copy_to_outside(slot.buffer, args.out));
  TRY(frame::copy_to_outside(call_slot(vcpu), std::as_bytes(std::span<const host_abi::CallSlot, 1>(&slot, 1))));
  frame::leave(host_abi::ExitCode::host_call);
  host_abi::CallSlot reply{};
  TRY(frame::copy_from_outside(std::as_writable_bytes(std::span<host_abi::CallSlot, 1>(&reply, 1)), call_slot(vcpu)));
  if (reply.token_done != slot.token) return Errno::io;
  if (reply.result < 0) return host_error(reply.result);
  const bool has_buffer = slot.length != 0;
  const auto limit = has_buffer ? static_cast<std::int64_t>(slot.length) : std::int64_t{0x7fff'ffff'ffff'ffff};
  const auto count = static_cast<std::uint64_t>(TRY(Untrusted(reply.result).in_range(0, limit)));
  if (!args.in.empty()) {
    const std::uint64_t bytes = args.in_exact ? args.in.size() : std::min<std::uint64_t>(count, args.in.size());
    TRY(frame::copy_from_outside(args.in.first(bytes), slot.buffer));
  }
  return count;
}

Result<std::uint64_t> call(host_abi::Op op, std::uint64_t a, std::uint64_t b, std::uint64_t c) {
  return call(op, CallArgs{.args = {a, b, c, 0}, .out = {}, .in = {}, .in_exact = false});
}

bool is_outside(std::uint64_t address, std::uint64_t size) { return frame::outside_enclave(address, size); }
Result<> copy_from_host(std::span<std::byte> into, std::uint64_t address) { return frame::copy_from_outside(into, address); }
Result<> copy_to_host(std::uint64_t address, std::span<const std::byte> from) { return frame::copy_to_outside(address, from); }
std::uint32_t load_host_u32(std::uint64_t address) { return frame::load_outside_u32(address); }
void store_host_u32(std::uint64_t address, std::uint32_t value) { frame::store_outside_u32(address, value); }
std::uint32_t exchange_host_u32(std::uint64_t address, std::uint32_t value) { return frame::exchange_outside_u32(address, value); }

void set_idle_word(bool idle) {
  frame::store_outside_u32(shared_block(frame::this_vcpu().index) + offsetof(host_abi::VcpuBlock, state),
                           idle ? host_abi::kVcpuIdle : host_abi::kVcpuRunning);
}

std::uint32_t take_pending() {
  return frame::exchange_outside_u32(shared_block(frame::this_vcpu().index) + offsetof(host_abi::VcpuBlock, pending), 0);
}
bool has_user_signals() {
  auto seen = frame::load_outside(the_boot.user_signal);
  return seen.ok() && std::move(seen).release() != 0;
}
std::uint64_t take_user_signals() { return frame::exchange_outside_u64(the_boot.user_signal, 0); }

}  // namespace kernel::host
