// Signal state, and the layout of signal frames against this machine's kernel and headers.
#include <signal.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include <gtest/gtest.h>

#include "kernel/task/signal.h"
#include "kernel/task/signal_frame.h"

namespace kernel {
namespace {

// --- layout ---

TEST(SignalLayout, MatchesTheHeaders) {
  EXPECT_EQ(offsetof(abi::UContext, stack), offsetof(ucontext_t, uc_stack));
  EXPECT_EQ(offsetof(abi::UContext, mcontext), offsetof(ucontext_t, uc_mcontext));
  EXPECT_EQ(offsetof(abi::UContext, sigmask), offsetof(ucontext_t, uc_sigmask));
  EXPECT_EQ(offsetof(abi::SigContext, rip), REG_RIP * 8u);
  EXPECT_EQ(offsetof(abi::SigContext, rsp), REG_RSP * 8u);
  EXPECT_EQ(offsetof(abi::SigContext, rflags), REG_EFL * 8u);
  EXPECT_EQ(offsetof(abi::SigContext, cs), REG_CSGSFS * 8u);
  EXPECT_EQ(offsetof(abi::SigContext, err), REG_ERR * 8u);
  EXPECT_EQ(offsetof(abi::SigContext, trapno), REG_TRAPNO * 8u);
  EXPECT_EQ(offsetof(abi::SigContext, oldmask), REG_OLDMASK * 8u);
  EXPECT_EQ(offsetof(abi::SigContext, cr2), REG_CR2 * 8u);
  EXPECT_EQ(offsetof(abi::SigContext, fpstate), offsetof(mcontext_t, fpregs));
  EXPECT_EQ(sizeof(abi::FpxSwBytes), sizeof(struct _fpx_sw_bytes));
  EXPECT_EQ(offsetof(abi::FpxSwBytes, xfeatures), offsetof(struct _fpx_sw_bytes, xstate_bv));
  EXPECT_EQ(offsetof(abi::FpxSwBytes, xstate_size), offsetof(struct _fpx_sw_bytes, xstate_size));
  EXPECT_EQ(abi::kFpXstateMagic1, FP_XSTATE_MAGIC1);
  EXPECT_EQ(abi::kFpXstateMagic2, FP_XSTATE_MAGIC2);
}

TEST(SignalLayout, SiginfoMatchesTheHeaders) {
  siginfo_t host;
  static_assert(sizeof(host) == sizeof(abi::SigInfo));
  const auto as_host = [&host](const abi::SigInfo& info) -> const siginfo_t& {
    std::memcpy(&host, &info, sizeof host);
    return host;
  };
  const siginfo_t& sent = as_host(abi::SigInfo::from_sender(SIGUSR1, SI_USER, 12, 34));
  EXPECT_EQ(sent.si_signo, SIGUSR1);
  EXPECT_EQ(sent.si_pid, 12);
  EXPECT_EQ(sent.si_uid, 34u);
  EXPECT_EQ(as_host(abi::SigInfo::fault(SIGSEGV, SEGV_MAPERR, 0x1234)).si_addr, reinterpret_cast<void*>(0x1234));
  const siginfo_t& child = as_host(abi::SigInfo::child(CLD_KILLED, 5, 6, SIGTERM, 7, 8));
  EXPECT_EQ(child.si_signo, SIGCHLD);
  EXPECT_EQ(child.si_status, SIGTERM);
  EXPECT_EQ(child.si_utime, 7);
  EXPECT_EQ(child.si_stime, 8);
  const siginfo_t& timer = as_host(abi::SigInfo::timer(SIGRTMIN, 3, 4, 0x55));
  EXPECT_EQ(timer.si_code, SI_TIMER);
  EXPECT_EQ(timer.si_timerid, 3);
  EXPECT_EQ(timer.si_overrun, 4);
  EXPECT_EQ(timer.si_value.sival_ptr, reinterpret_cast<void*>(0x55));
  const siginfo_t& io = as_host(abi::SigInfo::poll(SIGIO, POLL_IN, 0x41, 9));
  EXPECT_EQ(io.si_band, 0x41);
  EXPECT_EQ(io.si_fd, 9);
}

// What Linux did for a signal of this process.
struct Seen {
  std::uintptr_t info, context, state;
  abi::FpxSwBytes software;
  std::uint32_t magic2;
} seen;

void on_signal(int, siginfo_t* info, void* context) {
  const auto* uc = static_cast<const ucontext_t*>(context);
  seen.info = reinterpret_cast<std::uintptr_t>(info);
  seen.context = reinterpret_cast<std::uintptr_t>(context);
  seen.state = reinterpret_cast<std::uintptr_t>(uc->uc_mcontext.fpregs);
  std::memcpy(&seen.software, reinterpret_cast<const char*>(uc->uc_mcontext.fpregs) + abi::kFpxSwOffset, sizeof seen.software);
  std::memcpy(&seen.magic2, reinterpret_cast<const char*>(uc->uc_mcontext.fpregs) + seen.software.xstate_size, sizeof seen.magic2);
}

TEST(SignalLayout, FrameIsWhereLinuxPutsIt) {
  struct sigaction action {};
  action.sa_sigaction = on_signal;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  ASSERT_EQ(sigaction(SIGUSR2, &action, nullptr), 0);
  alignas(4096) static char memory[256 * 1024];
  stack_t stack{.ss_sp = memory, .ss_flags = 0, .ss_size = sizeof memory};
  ASSERT_EQ(sigaltstack(&stack, nullptr), 0);
  ASSERT_EQ(raise(SIGUSR2), 0);
  EXPECT_EQ(seen.info - seen.context, offsetof(abi::RtSigFrame, info) - offsetof(abi::RtSigFrame, uc));
  EXPECT_EQ(seen.software.magic1, abi::kFpXstateMagic1);
  EXPECT_EQ(seen.software.extended_size, seen.software.xstate_size + abi::kFpXstateMagic2Size);
  EXPECT_EQ(seen.magic2, abi::kFpXstateMagic2);
  const auto place = place_frame(reinterpret_cast<std::uintptr_t>(memory) + sizeof memory, seen.software.xstate_size);
  ASSERT_TRUE(place.has_value());
  EXPECT_EQ(place->state, seen.state);
  EXPECT_EQ(place->frame + offsetof(abi::RtSigFrame, uc), seen.context);
  stack.ss_flags = SS_DISABLE;
  EXPECT_EQ(sigaltstack(&stack, nullptr), 0);
}

TEST(SignalLayout, PlacementIsAlignedAndNeverWraps) {
  for (std::uint64_t sp = 0; sp < 20000; ++sp) {
    const auto place = place_frame(sp, 2696);
    if (!place) continue;
    EXPECT_EQ(place->state % 64, 0u);
    EXPECT_EQ(place->frame % 16, 8u);
    EXPECT_LE(place->frame + sizeof(abi::RtSigFrame), place->state);
    EXPECT_LE(place->state + state_image_size(2696), sp);
    EXPECT_LE(sp - place->frame, max_frame_size(2696) + 16);
  }
  EXPECT_FALSE(place_frame(1000, 2696).has_value());
}

TEST(SignalLayout, AlternateStackBounds) {
  const abi::StackT stack{.sp = 0x10000, .flags = 0, .reserved = 0, .size = 0x1000};
  EXPECT_FALSE(on_altstack(stack, 0x10000));
  EXPECT_TRUE(on_altstack(stack, 0x10001));
  EXPECT_TRUE(on_altstack(stack, 0x11000));
  EXPECT_FALSE(on_altstack(stack, 0x11001));
  EXPECT_EQ(altstack_flags({.sp = 0, .flags = 0, .reserved = 0, .size = 0}, 5), abi::kSsDisable);
}

// --- default actions, against this kernel ---

DefaultAction native_action(int signo) {
  const pid_t child = fork();
  if (child == 0) {
    signal(signo, SIG_DFL);
    raise(signo);
    _exit(77);
  }
  int status = 0;
  waitpid(child, &status, WUNTRACED);
  if (WIFSTOPPED(status)) {
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    return DefaultAction::stop;
  }
  return WIFSIGNALED(status) ? DefaultAction::terminate : DefaultAction::ignore;
}

TEST(Signal, DefaultActionsAreThoseOfLinux) {
  for (int signo = 1; signo <= 64; ++signo) {
    if (signo == 32 || signo == 33) continue;  // the C library's own
    if (signo == SIGTSTP || signo == SIGTTIN || signo == SIGTTOU) {  // ignored in an orphaned group, which a test may be in
      EXPECT_EQ(default_action(signo), DefaultAction::stop);
      continue;
    }
    DefaultAction ours = default_action(signo);
    if (ours == DefaultAction::core) ours = DefaultAction::terminate;
    if (ours == DefaultAction::resume) ours = DefaultAction::ignore;
    EXPECT_EQ(ours, native_action(signo)) << signo;
  }
}

// --- queues and handlers ---

bool queue(PendingSignals& pending, int signo, std::uint64_t value = 0) {
  Own<QueuedSignal> node = make_own<QueuedSignal>().release();
  abi::SigInfo info = abi::SigInfo::timer(signo, 0, 0, value);
  info.code = abi::kSiQueue;
  return pending.add(info, node);
}

TEST(PendingSignals, EachTimerHasAPlace) {
  PendingSignals pending;
  for (const std::int32_t id : {3, 4}) {
    Own<QueuedSignal> node = make_own<QueuedSignal>().release();
    EXPECT_FALSE(pending.has_timer(id));
    EXPECT_TRUE(pending.add(abi::SigInfo::timer(abi::kSigUsr1, id, 0, 0), node));
    EXPECT_TRUE(pending.has_timer(id));
  }
  EXPECT_FALSE(queue(pending, abi::kSigUsr1));
  EXPECT_EQ(pending.take(~SignalSet{0})->pid(), 3);
  EXPECT_FALSE(pending.has_timer(3));
  EXPECT_EQ(pending.take(~SignalSet{0})->pid(), 4);
  EXPECT_FALSE(pending.take(~SignalSet{0}).has_value());
}

// A program can make such a siginfo up: that has a bound.
TEST(PendingSignals, TimersAreBounded) {
  PendingSignals pending;
  std::uint32_t count = 0;
  for (; count < 2 * PendingSignals::kMostTimers; ++count) {
    Own<QueuedSignal> node = make_own<QueuedSignal>().release();
    if (!pending.add(abi::SigInfo::timer(abi::kSigUsr1, 1, 0, 0), node)) break;
  }
  EXPECT_EQ(count, PendingSignals::kMostTimers);
}

TEST(PendingSignals, StandardSignalsAreNotQueuedTwice) {
  PendingSignals pending;
  EXPECT_TRUE(queue(pending, abi::kSigUsr1, 1));
  EXPECT_FALSE(queue(pending, abi::kSigUsr1, 2));
  const auto taken = pending.take(~SignalSet{0});
  ASSERT_TRUE(taken.has_value());
  EXPECT_EQ(taken->value(), 1u);
  EXPECT_FALSE(pending.take(~SignalSet{0}).has_value());
  EXPECT_EQ(pending.set(), 0u);
}

TEST(PendingSignals, RealTimeSignalsKeepTheirOrder) {
  PendingSignals pending;
  for (const std::uint64_t value : {1u, 2u, 3u}) EXPECT_TRUE(queue(pending, 40, value));
  EXPECT_TRUE(queue(pending, 35, 9));
  EXPECT_EQ(pending.take(~SignalSet{0})->value(), 9u);  // the lower number first
  for (const std::uint64_t value : {1u, 2u}) EXPECT_EQ(pending.take(~SignalSet{0})->value(), value);
  EXPECT_EQ(pending.set(), signal_bit(40));
  EXPECT_EQ(pending.take(~SignalSet{0})->value(), 3u);
  EXPECT_EQ(pending.set(), 0u);
}

TEST(PendingSignals, SynchronousOnesComeFirst) {
  PendingSignals pending;
  EXPECT_TRUE(queue(pending, abi::kSigHup));
  EXPECT_TRUE(queue(pending, abi::kSigSegv));
  EXPECT_EQ(pending.take(~SignalSet{0})->signo, abi::kSigSegv);
  EXPECT_EQ(pending.take(~SignalSet{0})->signo, abi::kSigHup);
}

TEST(PendingSignals, MaskAndRemoval) {
  PendingSignals pending;
  EXPECT_TRUE(queue(pending, abi::kSigHup));
  EXPECT_TRUE(queue(pending, abi::kSigTerm));
  EXPECT_FALSE(pending.take(signal_bit(abi::kSigInt)).has_value());
  EXPECT_EQ(pending.take(signal_bit(abi::kSigTerm))->signo, abi::kSigTerm);
  pending.remove(signal_bit(abi::kSigHup));
  EXPECT_EQ(pending.set(), 0u);
  EXPECT_EQ(pending.queued(), 0u);
}

TEST(PendingSignals, ASignalWithoutMemoryStillArrives) {
  PendingSignals pending;
  Own<QueuedSignal> none;
  EXPECT_TRUE(pending.add(abi::SigInfo::from_kernel(abi::kSigTerm), none));
  const auto taken = pending.take(~SignalSet{0});
  ASSERT_TRUE(taken.has_value());
  EXPECT_EQ(taken->signo, abi::kSigTerm);
}

TEST(SignalHandlers, ResetHandlerAndCopies) {
  const Ref<SignalHandlers> handlers = make_ref<SignalHandlers>().release();
  handlers->exchange(abi::kSigUsr1, {.handler = 0x1000, .flags = abi::kSaResetHand, .restorer = 0, .mask = 0});
  handlers->exchange(abi::kSigUsr2, {.handler = 0x2000, .flags = 0, .restorer = 0, .mask = 0});
  handlers->exchange(abi::kSigHup, {.handler = abi::kSigIgn, .flags = 0, .restorer = 0, .mask = 0});
  EXPECT_EQ(handlers->take_for_delivery(abi::kSigUsr1).handler, 0x1000u);
  EXPECT_EQ(handlers->get(abi::kSigUsr1).handler, abi::kSigDfl);
  EXPECT_TRUE(handlers->ignores(abi::kSigHup));
  EXPECT_TRUE(handlers->ignores(abi::kSigChld));
  EXPECT_FALSE(handlers->ignores(abi::kSigTerm));
  EXPECT_EQ(handlers->caught(), signal_bit(abi::kSigUsr2));
  const Ref<SignalHandlers> forked = handlers->copy(false).release();
  EXPECT_EQ(forked->get(abi::kSigUsr2).handler, 0x2000u);
  const Ref<SignalHandlers> executed = handlers->copy(true).release();
  EXPECT_EQ(executed->get(abi::kSigUsr2).handler, abi::kSigDfl);
  EXPECT_EQ(executed->ignored(), signal_bit(abi::kSigHup));
}

}  // namespace
}  // namespace kernel
