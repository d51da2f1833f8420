#include "kernel/task/signal_frame.h"

#include <algorithm>
#include <span>
#include <utility>

#include "kernel/frame/bytes.h"
#include "kernel/frame/cpu.h"
#include "kernel/frame/user.h"
#include "kernel/mm/address_space.h"
#include "kernel/task/access.h"
#include "kernel/task/user_registers.h"
#include "kernel/task/vdso.h"

namespace kernel {

namespace {

constexpr std::uint64_t kRedZone = 128;
constexpr std::uint64_t kFxsaveSize = 512;
constexpr std::uint64_t kXsaveHeaderOffset = 512, kXsaveMinimum = 576;
constexpr std::uint64_t kXfeatureFpSse = 3;

// The 48 software bytes that tell a handler (and sigreturn) that the image is an XSAVE area with a trailing magic.
abi::FpxSwBytes software_bytes(std::uint64_t state_size) {
  abi::FpxSwBytes bytes{};
  bytes.magic1 = abi::kFpXstateMagic1;
  bytes.extended_size = static_cast<std::uint32_t>(state_image_size(state_size));
  bytes.xfeatures = frame::xfrm();
  bytes.xstate_size = static_cast<std::uint32_t>(state_size);
  return bytes;
}

Result<> store_state(Task& task, std::uint64_t address) {
  save_user_state();
  const std::span<std::byte> area = task.xsave_area();
  frame::xsave_complete(area);
  store_bytes(area, abi::kFpxSwOffset, software_bytes(area.size()));
  // Linux always claims x87 and SSE, whose bytes are there even in their initial configuration.
  store_bytes(area, kXsaveHeaderOffset, load_bytes<std::uint64_t>(area, kXsaveHeaderOffset) | kXfeatureFpSse);
  const std::span<std::byte> image = task.xsave_image();
  store_bytes(image, area.size(), abi::kFpXstateMagic2);
  return frame::copy_to_user(address, image);
}

// Initial state by its header: XRSTOR takes what the header does not list in its initial configuration, so the rest of the area need not
// be written. The legacy part is, since frames always show it.
void make_state_initial(std::span<std::byte> area) {
  constexpr std::uint16_t kFcw = 0x37f;
  constexpr std::uint32_t kMxcsr = 0x1f80;
  constexpr std::size_t kMxcsrOffset = 24;
  zero_bytes(area.first(kXsaveMinimum));
  store_bytes(area, 0, kFcw);
  store_bytes(area, kMxcsrOffset, kMxcsr);
}

// What XRSTOR would refuse, and Linux with it: unknown components, a compacted image, reserved header bytes, reserved MXCSR bits.
Result<> check_state(std::span<const std::byte> area, std::uint64_t allowed) {
  constexpr std::size_t kMxcsrOffset = 24;
  constexpr std::uint32_t kMxcsrBits = 0xffff;
  if ((load_bytes<std::uint32_t>(area, kMxcsrOffset) & ~kMxcsrBits) != 0) return Errno::fault;
  const auto header = load_bytes<std::array<std::uint64_t, 8>>(area, kXsaveHeaderOffset);
  if ((header[0] & ~allowed) != 0) return Errno::fault;
  const std::span<const std::uint64_t> rest = std::span<const std::uint64_t>(header).subspan(1);
  return std::ranges::all_of(rest, [](std::uint64_t word) { return word == 0; }) ? Result<>() : Result<>(Errno::fault);
}

// The vector state from a signal frame into the task's area. Absent or short images are allowed, as on Linux.
Result<> load_image(std::span<std::byte> area, std::span<std::byte> image, std::uint64_t address) {
  if (!is_aligned(address, 64)) return Errno::fault;
  // Most frames hold a whole image: take it in one copy and look at its software bytes then.
  const bool whole = frame::copy_from_user(image, address).ok();
  const abi::FpxSwBytes bytes =
      whole ? load_bytes<abi::FpxSwBytes>(area, abi::kFpxSwOffset) : TRY(UserPtr<abi::FpxSwBytes>(address + abi::kFpxSwOffset).load());
  bool extended = bytes.magic1 == abi::kFpXstateMagic1 && bytes.xstate_size >= kXsaveMinimum && bytes.xstate_size <= area.size() &&
                  bytes.xstate_size <= bytes.extended_size;
  if (extended && whole && bytes.xstate_size == area.size())
    extended = load_bytes<std::uint32_t>(image, area.size()) == abi::kFpXstateMagic2;
  else if (extended)
    extended = TRY(UserPtr<std::uint32_t>(address + bytes.xstate_size).load()) == abi::kFpXstateMagic2;
  const std::size_t size = extended ? bytes.xstate_size : kFxsaveSize;
  if (!whole || size < area.size()) {
    frame::xsave_make_initial(area);
    TRY(frame::copy_from_user(area.first(size), address));
  }
  TRY(check_state(area, frame::xfrm()));
  if (extended) {
    // Components that the frame did not claim to hold come back in their initial configuration.
    const std::uint64_t present = load_bytes<std::uint64_t>(area, kXsaveHeaderOffset) & bytes.xfeatures;
    store_bytes(area, kXsaveHeaderOffset, present);
  } else {
    store_bytes(area, kXsaveHeaderOffset, kXfeatureFpSse);
  }
  frame::xsave_sanitise(area);
  return {};
}

Result<> load_state(Task& task, std::uint64_t address) {
  save_user_state();
  const std::span<std::byte> area = task.xsave_area();
  if (address == 0) {
    frame::xsave_make_initial(area);
    return {};
  }
  const Result<> loaded = load_image(area, task.xsave_image(), address);
  if (!loaded.ok()) frame::xsave_make_initial(area);  // never half of one state and half of another
  return loaded;
}

// Where a handler returns to. A restorer that is nothing but `mov $15, %(r|e)ax; syscall` would trap (libraries leave it unpatched because
// unwinders know its bytes): the vDSO's twin, which has a frame description, takes its place.
std::uint64_t return_code(Task& task, std::uint64_t restorer) {
  constexpr std::array<std::uint8_t, 9> kWide{0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05};
  constexpr std::array<std::uint8_t, 7> kNarrow{0xb8, 0x0f, 0, 0, 0, 0x0f, 0x05};
  const std::uint64_t twin = vdso_sigreturn();
  if (restorer != 0 && restorer == task.plain_restorer) return twin;
  std::array<std::uint8_t, 9> code{};
  if (twin == 0 || !frame::copy_from_user(std::as_writable_bytes(std::span(code)), restorer).ok()) return restorer;
  const bool plain = code == kWide || std::ranges::equal(std::span(code).first(kNarrow.size()), kNarrow);
  if (!plain || !task.mm().check(twin, 16, Access::execute).ok()) return restorer;
  task.plain_restorer = restorer;
  return twin;
}

}  // namespace

Result<> check_vector_state(std::span<const std::byte> area) { return check_state(area, frame::xfrm()); }

Result<> push_signal_frame(Task& task, frame::TrapFrame& frame, const abi::SigAction& action, const abi::SigInfo& info,
                           SignalSet return_mask) {
  frame.mark_full();
  if (const std::optional<std::uint64_t> original = task.mm().original_rip(frame.rip)) frame.rip = *original;

  std::uint64_t sp = frame.rsp - kRedZone;
  const bool nested = on_altstack(task.altstack, frame.rsp);
  bool entering = false;
  if ((action.flags & abi::kSaOnStack) != 0 && task.altstack.size != 0 && !nested) {
    sp = task.altstack.sp + task.altstack.size;
    entering = true;
  }
  const std::uint64_t state_size = task.xsave_area().size();
  const std::optional<FramePlacement> place = place_frame(sp, state_size);
  if (!place) return Errno::fault;
  if ((entering || nested) && place->frame < task.altstack.sp) return Errno::fault;  // the alternate stack is too small

  abi::RtSigFrame content{};
  if ((action.flags & abi::kSaRestorer) == 0) return Errno::fault;  // x86-64 has no other way back
  content.pretcode = return_code(task, action.restorer);
  content.uc.flags = abi::kUcFpXstate | abi::kUcSigContextSs | abi::kUcStrictRestoreSs;
  content.uc.stack = task.altstack;
  content.uc.stack.flags = altstack_flags(task.altstack, frame.rsp) |
                           static_cast<std::int32_t>(static_cast<std::uint32_t>(task.altstack.flags) & abi::kSsAutoDisarm);
  show_registers(content.uc.mcontext, frame);
  content.uc.mcontext.err = task.fault_error;
  content.uc.mcontext.trapno = task.fault_vector;
  content.uc.mcontext.cr2 = task.fault_address;
  content.uc.mcontext.oldmask = return_mask;
  content.uc.mcontext.fpstate = place->state;
  content.uc.sigmask = return_mask;
  content.info = info;
  TRY(store_state(task, place->state));
  TRY(UserPtr<abi::RtSigFrame>(place->frame).store(content));

  make_state_initial(task.xsave_area());  // for the handler
  frame.rdi = static_cast<std::uint64_t>(info.signo);
  frame.rsi = place->frame + offsetof(abi::RtSigFrame, info);
  frame.rdx = place->frame + offsetof(abi::RtSigFrame, uc);
  frame.rax = 0;  // no vector arguments, for handlers declared without a prototype
  frame.rip = action.handler;
  frame.rsp = place->frame;
  frame.rflags &= ~(std::uint64_t{0x400} | 0x100 | 0x10000);  // DF TF RF
  frame.orig_rax = ~std::uint64_t{0};
  if ((static_cast<std::uint32_t>(task.altstack.flags) & abi::kSsAutoDisarm) != 0) {
    task.altstack = {.sp = 0, .flags = abi::kSsDisable, .reserved = 0, .size = 0};
  }
  SignalSet mask = task.signal_mask() | action.mask;
  if ((action.flags & abi::kSaNoDefer) == 0) mask |= signal_bit(info.signo);
  task.set_signal_mask(mask);
  return {};
}

Result<> pop_signal_frame(Task& task, frame::TrapFrame& frame) {
  // RSP points behind pretcode: the handler's `ret` popped it.
  const std::uint64_t base = frame.rsp - sizeof(std::uint64_t);
  abi::UContext context{};  // load() would move it twice
  TRY(UserPtr<abi::UContext>(base + offsetof(abi::RtSigFrame, uc)).load_all({&context, 1}));
  // A RIP outside the user window would fault in the kernel's name or hit the host: refuse it here.
  if (context.mcontext.rip < frame::user_window_begin() || context.mcontext.rip >= frame::user_window_end()) return Errno::fault;
  if ((context.mcontext.cs | 3) != kUserCs) return Errno::fault;  // IRET would refuse any other code segment
  TRY(load_state(task, context.mcontext.fpstate));
  frame.mark_full();
  take_registers(frame, context.mcontext);
  frame.orig_rax = ~std::uint64_t{0};  // no system call to restart
  // As Linux: a bad stack setting in the frame is ignored.
  const auto flags = static_cast<std::uint32_t>(context.stack.flags);
  const std::uint32_t mode = flags & ~abi::kSsAutoDisarm;
  if (!on_altstack(task.altstack, frame.rsp)) {
    if (mode == static_cast<std::uint32_t>(abi::kSsDisable)) {
      task.altstack = {.sp = 0, .flags = abi::kSsDisable, .reserved = 0, .size = 0};
    } else if (mode <= 1 && context.stack.size >= abi::kMinSigStackSize) {
      task.altstack = {.sp = context.stack.sp,
                       .flags = static_cast<std::int32_t>(flags & abi::kSsAutoDisarm),
                       .reserved = 0,
                       .size = context.stack.size};
    }
  }
  task.set_signal_mask(context.sigmask);
  return {};
}

}  // namespace kernel
