// Signals: handlers, masks, sending, waiting.
#ifndef KERNEL_SYSCALL_SIGNAL_H
#define KERNEL_SYSCALL_SIGNAL_H

#include <cstdint>

#include "abi/signal.h"
#include "abi/time.h"
#include "kernel/base/result.h"
#include "kernel/base/types.h"
#include "kernel/frame/user.h"
#include "kernel/frame/vcpu_block.h"
#include "kernel/task/task.h"

namespace kernel {

Result<> sys_rt_sigaction(Task& task, std::int32_t signo, UserPtr<const abi::SigAction> action, UserPtr<abi::SigAction> old, std::uint64_t size);
Result<> sys_rt_sigprocmask(Task& task, std::int32_t how, UserPtr<const SignalSet> set, UserPtr<SignalSet> old, std::uint64_t size);
Result<std::uint64_t> sys_rt_sigreturn(Task& task, frame::TrapFrame& frame);
Result<> sys_rt_sigpending(Task& task, UserPtr<SignalSet> set, std::uint64_t size);
Result<std::int32_t> sys_rt_sigtimedwait(Task& task, UserPtr<const SignalSet> set, UserPtr<abi::SigInfo> info,
                                         UserPtr<const abi::Timespec> timeout, std::uint64_t size);
Result<> sys_rt_sigsuspend(Task& task, UserPtr<const SignalSet> mask, std::uint64_t size);
Result<> sys_pause(Task& task);
Result<> sys_sigaltstack(Task& task, UserPtr<const abi::StackT> stack, UserPtr<abi::StackT> old, frame::TrapFrame& frame);
Result<> sys_kill(Task& task, std::int32_t pid, std::int32_t signo);
Result<> sys_tkill(Task& task, Pid tid, std::int32_t signo);
Result<> sys_tgkill(Task& task, Pid pid, Pid tid, std::int32_t signo);
Result<> sys_rt_sigqueueinfo(Task& task, Pid pid, std::int32_t signo, UserPtr<const abi::SigInfo> info);
Result<> sys_rt_tgsigqueueinfo(Task& task, Pid pid, Pid tid, std::int32_t signo, UserPtr<const abi::SigInfo> info);

}  // namespace kernel
#endif  // KERNEL_SYSCALL_SIGNAL_H
