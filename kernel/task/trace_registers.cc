#include "kernel/task/trace_registers.h"

#include "kernel/frame/bytes.h"
#include "kernel/frame/cpu.h"
#include "kernel/frame/user.h"
#include "kernel/task/signal_frame.h"
#include "kernel/task/user_registers.h"

namespace kernel {

namespace {

constexpr std::size_t kSoftwareBytes = 464;  // of the legacy part: Linux says there which components the image may hold
constexpr std::size_t kHeader = 512;
constexpr std::size_t kMxcsr = 24;
constexpr std::uint64_t kX87AndSse = 3;

}  // namespace

abi::UserRegs get_registers(Task& task) {
  const frame::TrapFrame& frame = task.trap_frame();
  abi::UserRegs regs{};
  show_registers(regs, frame);
  regs.orig_rax = frame.orig_rax;
  regs.fs_base = task.context().fs_base;
  return regs;
}

Result<> set_registers(Task& task, const abi::UserRegs& regs) {
  const bool flat = regs.cs == kUserCs && regs.ss == kUserSs && regs.ds == 0 && regs.es == 0 && regs.fs == 0 && regs.gs == 0;
  if (!flat || regs.gs_base != 0 || regs.fs_base >= frame::user_window_end()) return Errno::io;
  frame::TrapFrame& frame = task.trap_frame();
  take_registers(frame, regs);
  frame.orig_rax = regs.orig_rax;
  task.context().fs_base = regs.fs_base;
  return {};
}

void get_vector_state(Task& task, std::span<std::byte> into) {
  const std::span<std::byte> area = task.xsave_area();
  frame::xsave_complete(area);
  copy_bytes(into, area.first(into.size()));
  if (into.size() <= kLegacyStateSize) return;
  store_bytes(into, kSoftwareBytes, frame::xfrm());
  store_bytes(into, kHeader, load_bytes<std::uint64_t>(into, kHeader) | kX87AndSse);
}

Result<> set_legacy_state(Task& task, std::span<const std::byte> from) {
  constexpr std::uint32_t kMxcsrBits = 0xffff;
  if ((load_bytes<std::uint32_t>(from, kMxcsr) & ~kMxcsrBits) != 0) return Errno::inval;
  const std::span<std::byte> area = task.xsave_area();
  copy_bytes(area.first(kSoftwareBytes), from.first(kSoftwareBytes));
  store_bytes(area, kHeader, load_bytes<std::uint64_t>(area, kHeader) | kX87AndSse);
  frame::xsave_sanitise(area);
  return {};
}

Result<> set_vector_state(Task& task, std::span<const std::byte> from) {
  const std::span<std::byte> area = task.xsave_area();
  if (from.size() != area.size()) return Errno::fault;
  if (!check_vector_state(from).ok()) return Errno::inval;
  copy_bytes(area, from);
  frame::xsave_sanitise(area);
  return {};
}

}  // namespace kernel
