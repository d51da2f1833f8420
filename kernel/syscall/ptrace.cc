#include "kernel/syscall/ptrace.h"

#include <algorithm>
#include <array>
#include <span>

#include "abi/fs.h"
#include "kernel/base/vec.h"
#include "kernel/frame/bytes.h"
#include "kernel/mm/address_space.h"
#include "kernel/task/trace_registers.h"
#include "kernel/task/tracee.h"

namespace kernel {

namespace {

using abi::PtraceRequest;

// --- memory ---

Result<Ref<AddressSpace>> memory_of(Tracee& tracee) {
  const RefPtr<AddressSpace> memory = tracee.process->mm();
  return memory ? Result<Ref<AddressSpace>>(memory.as_ref()) : Result<Ref<AddressSpace>>(Errno::io);
}

Result<> peek(Tracee& tracee, std::uint64_t address, std::uint64_t data) {
  const Ref<AddressSpace> memory = TRY(memory_of(tracee));
  std::uint64_t word = 0;
  const Result<std::size_t> got = memory->read_remote(address, std::as_writable_bytes(std::span(&word, 1)), true);
  if (!got.ok() || Result<std::size_t>(got).release() != sizeof(word)) return Errno::io;
  return UserPtr<std::uint64_t>(data).store(word);
}

Result<> poke(Tracee& tracee, std::uint64_t address, std::uint64_t data) {
  const Ref<AddressSpace> memory = TRY(memory_of(tracee));
  const Result<std::size_t> put = memory->write_remote(address, std::as_bytes(std::span(&data, 1)), true);
  return put.ok() && Result<std::size_t>(put).release() == sizeof(data) ? Result<>() : Result<>(Errno::io);
}

// --- registers ---

using UserWords = std::array<std::uint64_t, sizeof(abi::UserRegs) / sizeof(std::uint64_t)>;

Result<abi::UserRegs> load_registers(Tracee& tracee) {
  const LockGuard guard(tree_lock);
  TRY(check_stopped(tracee));
  const auto& task = tracee.task;
  return get_registers(*task);
}

Result<> store_registers(Tracee& tracee, const abi::UserRegs& regs) {
  const LockGuard guard(tree_lock);
  TRY(check_stopped(tracee));
  const auto& task = tracee.task;
  return set_registers(*task, regs);
}

Result<> check_user_offset(std::uint64_t offset) {
  return offset % sizeof(std::uint64_t) == 0 && offset < abi::kUserSize ? Result<>() : Result<>(Errno::io);
}

// struct user: the registers; all else reads as zero (there are no hardware breakpoints in an enclave).
Result<> peek_user(Tracee& tracee, std::uint64_t offset, std::uint64_t data) {
  TRY(check_user_offset(offset));
  const auto words = std::bit_cast<UserWords>(TRY(load_registers(tracee)));
  const std::uint64_t index = offset / sizeof(std::uint64_t);
  return UserPtr<std::uint64_t>(data).store(index < words.size() ? words[index] : 0);
}

Result<> poke_user(Tracee& tracee, std::uint64_t offset, std::uint64_t value) {
  TRY(check_user_offset(offset));
  const std::uint64_t index = offset / sizeof(std::uint64_t);
  auto words = std::bit_cast<UserWords>(TRY(load_registers(tracee)));
  if (index < words.size()) {
    words[index] = value;
    return store_registers(tracee, std::bit_cast<abi::UserRegs>(words));
  }
  return offset >= abi::kUserDebugRegisters && value == 0 ? Result<>() : Result<>(Errno::io);
}

Result<> get_vector(Tracee& tracee, std::span<std::byte> into) {
  const LockGuard guard(tree_lock);
  TRY(check_stopped(tracee));
  const auto& task = tracee.task;
  get_vector_state(*task, into);
  return {};
}

Result<> get_fp_registers(Tracee& tracee, std::uint64_t data) {
  std::array<std::byte, kLegacyStateSize> state{};
  TRY(get_vector(tracee, state));
  return frame::copy_to_user(data, state);
}

Result<> set_fp_registers(Tracee& tracee, std::uint64_t data) {
  std::array<std::byte, kLegacyStateSize> state{};
  TRY(frame::copy_from_user(state, data));
  const LockGuard guard(tree_lock);
  TRY(check_stopped(tracee));
  const auto& task = tracee.task;
  return set_legacy_state(*task, state);
}

// The bytes of a register set; the tracer takes or gives a first part of them.
Result<std::size_t> set_size(Task& task, std::uint64_t type) {
  switch (type) {
    case abi::kNtPrStatus: return sizeof(abi::UserRegs);
    case abi::kNtPrFpReg: return kLegacyStateSize;
    case abi::kNtX86XState: return task.xsave_area().size();  // the same for every task
    default: return Errno::inval;
  }
}

Result<> fill_set(Tracee& tracee, std::uint64_t type, std::span<std::byte> bytes) {
  if (type != abi::kNtPrStatus) return get_vector(tracee, bytes);
  store_bytes(bytes, 0, TRY(load_registers(tracee)));
  return {};
}

Result<> take_set(Tracee& tracee, std::uint64_t type, std::span<const std::byte> bytes, std::size_t given) {
  if (type == abi::kNtPrStatus) return store_registers(tracee, load_bytes<abi::UserRegs>(bytes, 0));
  if (type == abi::kNtX86XState && given != bytes.size()) return Errno::fault;
  const LockGuard guard(tree_lock);
  TRY(check_stopped(tracee));
  const auto& task = tracee.task;
  return type == abi::kNtX86XState ? set_vector_state(*task, bytes) : set_legacy_state(*task, bytes);
}

Result<> transfer_set(Task& task, Tracee& tracee, std::uint64_t type, std::uint64_t data, bool sets) {
  const UserPtr<abi::Iovec> user(data);
  abi::Iovec vector = TRY(user.load());
  Vec<std::byte> bytes;
  TRY(bytes.try_resize(TRY(set_size(task, type))));
  if (vector.length % sizeof(std::uint64_t) != 0) return Errno::inval;
  const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(vector.length, bytes.size()));
  TRY(fill_set(tracee, type, bytes.span()));
  const std::span<std::byte> part = bytes.span().first(size);
  if (sets) {
    TRY(frame::copy_from_user(part, vector.base));
    TRY(take_set(tracee, type, bytes.span(), size));
  } else {
    TRY(frame::copy_to_user(vector.base, part));
  }
  vector.length = size;
  return user.store(vector);
}

// --- signals ---

Result<> get_info(Tracee& tracee, std::uint64_t data) {
  abi::SigInfo info{};
  {
    const LockGuard guard(tree_lock);
    TRY(check_stopped(tracee));
    if (!tracee.stop.info) return Errno::inval;
    info = *tracee.stop.info;
  }
  return UserPtr<abi::SigInfo>(data).store(info);
}

Result<> set_info(Tracee& tracee, std::uint64_t data) {
  const abi::SigInfo info = TRY(UserPtr<abi::SigInfo>(data).load());
  const LockGuard guard(tree_lock);
  TRY(check_stopped(tracee));
  if (!tracee.stop.info) return Errno::inval;
  tracee.stop.info = info;
  return {};
}

Result<> get_mask(Tracee& tracee, std::uint64_t size, std::uint64_t data) {
  if (size != sizeof(SignalSet)) return Errno::inval;
  SignalSet mask = 0;
  {
    const LockGuard guard(tree_lock);
    TRY(check_stopped(tracee));
    const auto& task = tracee.task;
    mask = trace_mask(*task);
  }
  return UserPtr<SignalSet>(data).store(mask);
}

Result<> set_mask(Tracee& tracee, std::uint64_t size, std::uint64_t data) {
  if (size != sizeof(SignalSet)) return Errno::inval;
  const SignalSet mask = TRY(UserPtr<SignalSet>(data).load());
  const LockGuard guard(tree_lock);
  TRY(check_stopped(tracee));
  const auto& task = tracee.task;
  set_trace_mask(*task, mask & ~kUnblockable);
  return {};
}

Result<std::uint64_t> peek_infos(Tracee& tracee, std::uint64_t address, std::uint64_t data) {
  const auto wanted = TRY(UserPtr<abi::PtracePeekSigInfo>(address).load());
  if ((wanted.flags & ~abi::kPeekSigInfoShared) != 0 || wanted.count < 0) return Errno::inval;
  const UserPtr<abi::SigInfo> out(data);
  std::uint64_t done = 0;
  for (; done < static_cast<std::uint64_t>(wanted.count); ++done) {
    std::uint64_t index = 0;
    if (__builtin_add_overflow(wanted.offset, done, &index)) break;
    const std::optional<abi::SigInfo> info = trace_peek_signal(tracee, index, (wanted.flags & abi::kPeekSigInfoShared) != 0);
    if (!info) break;
    const Result<> stored = TRY(out.at(done)).store(*info);
    if (!stored.ok()) return done != 0 ? Result<std::uint64_t>(done) : Result<std::uint64_t>(stored.error());
    if (signal_pending()) {
      ++done;
      break;
    }
  }
  return done;
}

// --- the stop ---

Result<> set_options(Tracee& tracee, std::uint64_t options) {
  if ((options & ~std::uint64_t{abi::kPtraceOKnown}) != 0) return Errno::inval;
  const LockGuard guard(tree_lock);
  TRY(check_stopped(tracee));
  tracee.options = static_cast<std::uint32_t>(options);
  return {};
}

Result<> get_message(Tracee& tracee, std::uint64_t data) {
  std::uint64_t message = 0;
  {
    const LockGuard guard(tree_lock);
    TRY(check_stopped(tracee));
    message = tracee.message;
  }
  return UserPtr<std::uint64_t>(data).store(message);
}

Result<std::uint64_t> get_syscall_info(Tracee& tracee, std::uint64_t size, std::uint64_t data) {
  abi::PtraceSyscallInfo info{};
  std::size_t length = abi::kSyscallInfoNoneSize;
  {
    const LockGuard guard(tree_lock);
    TRY(check_stopped(tracee));
    const auto& task = tracee.task;
    const abi::UserRegs regs = get_registers(*task);
    info.arch = abi::kAuditArchX86_64;
    info.rip = regs.rip;
    info.rsp = regs.rsp;
    const bool at_call = tracee.stop.info && tracee.stop.info->code == (abi::kSigTrap | abi::kSysGoodBit);
    if (at_call && tracee.message == abi::kSyscallInfoEntry) {
      info.op = abi::kSyscallInfoEntry;
      length = abi::kSyscallInfoEntrySize;
      info.number_or_result = regs.orig_rax;
      info.args = {regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9};
    } else if (at_call && tracee.message == abi::kSyscallInfoExit) {
      constexpr std::int64_t kMaxErrno = 4095;
      info.op = abi::kSyscallInfoExit;
      length = abi::kSyscallInfoExitSize;
      info.number_or_result = regs.rax;
      const auto result = static_cast<std::int64_t>(regs.rax);
      info.args[0] = result < 0 && result >= -kMaxErrno ? 1 : 0;
    }
  }
  const std::span<const std::byte> bytes = std::as_bytes(std::span(&info, 1));
  TRY(frame::copy_to_user(data, bytes.first(static_cast<std::size_t>(std::min<std::uint64_t>(length, size)))));
  return length;
}

Result<> go_on(Tracee& tracee, PtraceRequest request, std::uint64_t data) {
  if (data > abi::kSigMax) return Errno::io;
  const int signal = static_cast<int>(data);
  switch (request) {
    case PtraceRequest::detach: return trace_detach(tracee, signal);
    case PtraceRequest::syscall: return trace_resume(tracee, ResumeMode::syscall, signal);
    case PtraceRequest::singlestep: return trace_resume(tracee, ResumeMode::step, signal);
    default: return trace_resume(tracee, ResumeMode::run, signal);
  }
}

Result<> transfer_registers(Tracee& tracee, PtraceRequest request, std::uint64_t data) {
  const UserPtr<abi::UserRegs> user(data);
  switch (request) {
    case PtraceRequest::getregs: return user.store(TRY(load_registers(tracee)));
    case PtraceRequest::setregs: return store_registers(tracee, TRY(user.load()));
    case PtraceRequest::getfpregs: return get_fp_registers(tracee, data);
    default: return set_fp_registers(tracee, data);
  }
}

// A request to a tracee that is stopped, whose result is no number.
Result<> plain_request(Task& task, Tracee& tracee, PtraceRequest request, std::uint64_t address, std::uint64_t data) {
  switch (request) {
    case PtraceRequest::peektext:
    case PtraceRequest::peekdata: return peek(tracee, address, data);
    case PtraceRequest::poketext:
    case PtraceRequest::pokedata: return poke(tracee, address, data);
    case PtraceRequest::peekuser: return peek_user(tracee, address, data);
    case PtraceRequest::pokeuser: return poke_user(tracee, address, data);
    case PtraceRequest::cont:
    case PtraceRequest::syscall:
    case PtraceRequest::singlestep:
    case PtraceRequest::detach: return go_on(tracee, request, data);
    case PtraceRequest::getregs:
    case PtraceRequest::setregs:
    case PtraceRequest::getfpregs:
    case PtraceRequest::setfpregs: return transfer_registers(tracee, request, data);
    case PtraceRequest::oldsetoptions:
    case PtraceRequest::setoptions: return set_options(tracee, data);
    case PtraceRequest::geteventmsg: return get_message(tracee, data);
    case PtraceRequest::getsiginfo: return get_info(tracee, data);
    case PtraceRequest::setsiginfo: return set_info(tracee, data);
    case PtraceRequest::getregset: return transfer_set(task, tracee, address, data, false);
    case PtraceRequest::setregset: return transfer_set(task, tracee, address, data, true);
    case PtraceRequest::listen: return trace_listen(tracee);
    case PtraceRequest::getsigmask: return get_mask(tracee, address, data);
    case PtraceRequest::setsigmask: return set_mask(tracee, address, data);
    default: return Errno::io;
  }
}

Result<> attach(Task& task, Pid pid, bool seize, std::uint64_t address, std::uint64_t options) {
  const RefPtr<Task> target = find_task(pid);
  if (!target) return Errno::srch;
  if (!seize) return trace_attach(task, *target, false, 0);
  if (address != 0 || (options & ~std::uint64_t{abi::kPtraceOKnown}) != 0) return Errno::io;
  return trace_attach(task, *target, true, static_cast<std::uint32_t>(options));
}

}  // namespace

Result<std::uint64_t> sys_ptrace(Task& task, PtraceRequest request, Pid pid, std::uint64_t address, std::uint64_t data) {
  constexpr std::uint64_t kDone = 0;
  if (request == PtraceRequest::traceme) {
    TRY(trace_me(task));
    return kDone;
  }
  if (request == PtraceRequest::attach || request == PtraceRequest::seize) {
    TRY(attach(task, pid, request == PtraceRequest::seize, address, data));
    return kDone;
  }
  const bool any_state = request == PtraceRequest::kill || request == PtraceRequest::interrupt;
  const Ref<Tracee> tracee = TRY(find_tracee(task, pid, !any_state));
  switch (request) {
    case PtraceRequest::kill:
      TRY(send_signal(*tracee->process, abi::SigInfo::from_kernel(abi::kSigKill)));
      return kDone;
    case PtraceRequest::interrupt:
      TRY(trace_interrupt(*tracee));
      return kDone;
    case PtraceRequest::get_syscall_info: return get_syscall_info(*tracee, address, data);
    case PtraceRequest::peeksiginfo: return peek_infos(*tracee, address, data);
    default:
      TRY(plain_request(task, *tracee, request, address, data));
      return kDone;
  }
}

}  // namespace kernel
