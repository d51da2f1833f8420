// EENTER, EEXIT, AEX, ERESUME as an enclave and its host see them.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cpuid.h>
#include <thread>

#include "tests/emulator/fixture.h"

namespace emulator_test {
namespace {

class Transition : public testing::TestWithParam<ModeParam> {
 protected:
  TestEnclave enclave_{BuildParams{.mode = GetParam().mode, .assertions = GetParam().assertions}};

  // Enters with `op`, which must fault with `vector`; returns what the handler sees in the SSA.
  TestEnclave::Ssa fault(u64 op, u32 vector, u64 skip, u64 in0 = 0, u64 in1 = 0) {
    Command command{};
    command.op = op;
    command.in[0] = in0;
    command.in[1] = in1;
    EXPECT_EQ(enclave_.enter(command), 0);
    EXPECT_EQ(enclave_.run().function, 3U) << "no fault";
    EXPECT_EQ(enclave_.run().exception_vector, vector);
    address_ = enclave_.run().exception_addr;
    error_code_ = enclave_.run().exception_error_code;
    const TestEnclave::Ssa ssa = enclave_.handle(skip);
    EXPECT_EQ(enclave_.resume(), 0);
    EXPECT_EQ(enclave_.run().function, 4U);
    EXPECT_EQ(command.steps, 1U);
    out0_ = command.out[0];
    return ssa;
  }
  u64 address_ = 0;
  u32 error_code_ = 0;
  u64 out0_ = 0;
};

constexpr u64 kHardware = 0x80000300;
constexpr u64 kSoftware = 0x80000600;

TEST_P(Transition, EnterAndLeave) {
  Command command{};
  ASSERT_EQ(enclave_.enter(command), 0);
  EXPECT_EQ(enclave_.run().function, 4U);
  EXPECT_EQ(command.steps, 1U);
  EXPECT_EQ(command.cssa, 0U);
  const emulator::Counters counters = enclave_->counters();
  EXPECT_EQ(counters.eenter, 1U);
  EXPECT_EQ(counters.eexit, 1U);
  EXPECT_EQ(counters.aex, 0U);
}

TEST_P(Transition, BasesComeFromTheTcs) {
  Command command{};
  command.op = OP_BASES;
  ASSERT_EQ(enclave_.enter(command, 1), 0);
  EXPECT_EQ(command.out[0], enclave_.address(tcs_offset(1) + kFsOffset));
  EXPECT_EQ(command.out[1], enclave_.address(tcs_offset(1) + kGsOffset));
}

int g_seen_rdi, g_seen_rsi, g_seen_rdx;
int record_exit(std::int64_t rdi, std::int64_t rsi, std::int64_t rdx, std::int64_t, std::int64_t, std::int64_t, sgx::EnclaveRun* run) {
  g_seen_rdi = static_cast<int>(rdi);
  g_seen_rsi = static_cast<int>(rsi);
  g_seen_rdx = static_cast<int>(rdx);
  return run->user_data == 5 ? -77 : 0;
}

TEST_P(Transition, ExitHandlerSeesTheRegisters) {
  Command command{};
  sgx::EnclaveRun run{};
  run.tcs = enclave_.tcs();
  run.user_handler = reinterpret_cast<u64>(&record_exit);
  ASSERT_EQ(emulator::enter(reinterpret_cast<u64>(&command), 0, 0, 2, 0, 0, &run), 0);
  EXPECT_EQ(g_seen_rdi, 0x1111);
  EXPECT_EQ(g_seen_rsi, 0x2222);
  EXPECT_EQ(g_seen_rdx, 0x3333);
  run.user_data = 5;
  EXPECT_EQ(emulator::enter(reinterpret_cast<u64>(&command), 0, 0, 2, 0, 0, &run), -77);
}

TEST_P(Transition, BadRunIsRefused) {
  Command command{};
  EXPECT_EQ(enclave_.enter(command, 0, 4), -EINVAL);
  sgx::EnclaveRun run{};
  run.tcs = enclave_.tcs();
  run.reserved[100] = 1;
  EXPECT_EQ(emulator::enter(reinterpret_cast<u64>(&command), 0, 0, 2, 0, 0, &run), -EINVAL);
  EXPECT_EQ(command.steps, 0U);
}

TEST_P(Transition, EntryFaults) {
  Command command{};
  sgx::EnclaveRun run{};
  const auto expect_fault = [&](u64 tcs, u32 leaf, u32 vector) {
    run = {};
    run.tcs = tcs;
    EXPECT_EQ(emulator::enter(reinterpret_cast<u64>(&command), 0, 0, leaf, 0, 0, &run), 0);
    EXPECT_EQ(run.function, leaf) << std::hex << tcs;
    EXPECT_EQ(run.exception_vector, vector) << std::hex << tcs;
  };
  expect_fault(enclave_.tcs() + 8, 2, 13);                    // not aligned
  expect_fault(enclave_.address(kData), 2, 14);               // not a TCS
  expect_fault(enclave_.address(kDynamic), 2, 14);            // no page
  expect_fault(enclave_.address(kSize) + kPage, 2, 14);       // not in any enclave
  expect_fault(enclave_.tcs(), 3, 13);                        // ERESUME at CSSA 0
  EXPECT_EQ(command.steps, 0U);
}

TEST_P(Transition, Exceptions) {
  TestEnclave::Ssa ssa = fault(OP_UD2, 6, 2);
  EXPECT_EQ(ssa.exitinfo, kHardware | 6);
  ssa = fault(OP_DIVIDE, 0, 2);
  EXPECT_EQ(ssa.exitinfo, kHardware | 0);
  ssa = fault(OP_LOAD, 13, 3, u64{1} << 60);
  EXPECT_EQ(ssa.exitinfo, kHardware | 13);
  EXPECT_EQ(ssa.rip, enclave_.code(payload_load));
  EXPECT_EQ(ssa.maddr, 0U);
  EXPECT_EQ(ssa.errcd, 0U);
  const emulator::Counters counters = enclave_->counters();
  EXPECT_EQ(counters.aex, 3U);
  EXPECT_EQ(counters.aex_vector[6], 1U);
  EXPECT_EQ(counters.aex_vector[0], 1U);
  EXPECT_EQ(counters.aex_vector[13], 1U);
  EXPECT_EQ(counters.eresume, 3U);
}

TEST_P(Transition, RawSyscallIsInvalidOpcode) {
  const TestEnclave::Ssa ssa = fault(OP_SYSCALL, 6, 2, SYS_getpid);
  EXPECT_EQ(ssa.exitinfo, kHardware | 6);
  EXPECT_EQ(ssa.rip, enclave_.code(payload_syscall));
  EXPECT_EQ(out0_, static_cast<u64>(SYS_getpid)) << "RAX is still the number";
  EXPECT_EQ(enclave_->counters().aex_syscall, 1U);
  EXPECT_EQ(fault(OP_INT80, 6, 2, 20).exitinfo, kHardware | 6);
}

TEST_P(Transition, CpuidIsInvalidOpcode) {
  const TestEnclave::Ssa ssa = fault(OP_CPUID, 6, 2, 0);
  EXPECT_EQ(ssa.exitinfo, kHardware | 6);
  EXPECT_EQ(ssa.rip, enclave_.code(payload_cpuid));
  EXPECT_EQ(enclave_->counters().aex_cpuid, 1U);
  // Host code on this thread still has CPUID.
  u32 eax = 0, ebx = 0, ecx = 0, edx = 0;
  __cpuid(0, eax, ebx, ecx, edx);
  EXPECT_GT(eax, 0U);
  EXPECT_NE(ebx, 0U);
}

TEST_P(Transition, PageFaults) {
  const auto expect = [&](const TestEnclave::Ssa& ssa, u64 address, u32 code, const char* what) {
    EXPECT_EQ(ssa.exitinfo, kHardware | 14) << what;
    EXPECT_EQ(ssa.maddr, address) << what;
    EXPECT_EQ(ssa.errcd, code) << what;
    EXPECT_EQ(address_, address & ~(kPage - 1)) << what;
    EXPECT_EQ(error_code_, code) << what;
  };
  u64 at = enclave_.address(kDynamic + 0x123);
  expect(fault(OP_LOAD, 14, 3, at), at, 0x4, "read of nothing");
  expect(fault(OP_STORE, 14, 2, at, 1), at, 0x6, "write of nothing");
  at = enclave_.address(kReadOnly + 5);
  expect(fault(OP_STORE, 14, 2, at, 1), at, 0x8007, "write of a read-only page");
  at = enclave_.tcs();
  expect(fault(OP_LOAD, 14, 3, at), at, 0x8005, "read of a TCS");
  at = enclave_.address(0x10);
  expect(fault(OP_LOAD, 14, 3, at), at, 0x4, "null page");
  ASSERT_TRUE(enclave_->eaug_range(kDynamic, kPage).ok());
  at = enclave_.address(kDynamic + 8);
  expect(fault(OP_STORE, 14, 2, at, 1), at, 0x8007, "write of a pending page");
  enclave_->set_present(kData, kPage, false);
  at = enclave_.address(kData);
  expect(fault(OP_LOAD, 14, 3, at), at, 0x4, "page that the host has unmapped");
  enclave_->set_present(kData, kPage, true);
  Command command{};
  command.op = OP_LOAD;
  command.in[0] = at;
  ASSERT_EQ(enclave_.enter(command), 0);
  EXPECT_EQ(enclave_.run().function, 4U);
}

TEST_P(Transition, ExecutePermission) {
  Command command{};
  command.op = OP_CALL;
  command.in[0] = enclave_.address(kWritableCode);
  ASSERT_EQ(enclave_.enter(command), 0);
  ASSERT_EQ(enclave_.run().function, 4U);
  command.in[0] = enclave_.address(kData);
  ASSERT_EQ(enclave_.enter(command), 0);
  ASSERT_EQ(enclave_.run().function, 3U);
  EXPECT_EQ(enclave_.run().exception_vector, 14);
  EXPECT_EQ(enclave_.run().exception_error_code, 0x8015);
  const TestEnclave::Ssa ssa = enclave_.handle(enclave_.code(payload_return) - enclave_.address(kData));
  EXPECT_EQ(ssa.rip, enclave_.address(kData));
  EXPECT_EQ(enclave_.resume(), 0);
  EXPECT_EQ(enclave_.run().function, 4U);
}

TEST_P(Transition, CssaOverflow) {
  Command command{};
  command.op = OP_UD2;
  for (u32 i = 0; i < kSsaFrames; ++i) {
    ASSERT_EQ(enclave_.enter(command), 0);
    ASSERT_EQ(enclave_.run().function, 3U);
    EXPECT_EQ(command.cssa, i);
  }
  ASSERT_EQ(enclave_.enter(command), 0);
  EXPECT_EQ(enclave_.run().function, 2U) << "EENTER with no free frame";
  EXPECT_EQ(enclave_.run().exception_vector, 13);
  EXPECT_EQ(enclave_->counters().aex, 3U);
}

// A handler for the tick: while the enclave is interrupted it enters it again (CSSA 1) and looks at the SSA.
struct Nested {
  TestEnclave* enclave;
  std::atomic<u64> inside{0};
  std::atomic<u64> outside{0};
  std::atomic<u64> bad{0};
  Command command{};
} g_nested;

void on_tick(int, siginfo_t*, ucontext_t* context) {
  if (!emulator::is_at_aep(context)) {
    ++g_nested.outside;
    return;
  }
  ++g_nested.inside;
  sgx::EnclaveRun run{};
  run.tcs = static_cast<u64>(context->uc_mcontext.gregs[REG_RBX]);
  g_nested.command = {};
  g_nested.command.op = OP_SSA;
  g_nested.command.in[0] = g_nested.enclave->ssa_gpr(0, 0);
  int result = emulator::enter(reinterpret_cast<u64>(&g_nested.command), 0, 0, 2, 0, 0, &run);
  // A page that the host took away: left as it is, the interrupted entry would go on later with this handler's dead stack.
  while (result == 0 && run.function == 3) result = emulator::enter(0, 0, 0, 3, 0, 0, &run);
  if (result != 0 || run.function != 4 || g_nested.command.cssa != 1 || (g_nested.command.out[0] >> 31) != 0) ++g_nested.bad;
}

void start_timer(long microseconds) {
  itimerval timer{};
  timer.it_interval.tv_usec = microseconds;
  timer.it_value.tv_usec = microseconds;
  setitimer(ITIMER_REAL, &timer, nullptr);
}

double seconds_now() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

TEST_P(Transition, RegistersSurviveASignalStorm) {
  ASSERT_TRUE(emulator::install_async_handler(SIGALRM, &on_tick));
  g_nested.enclave = &enclave_;
  g_nested.inside = g_nested.outside = g_nested.bad = 0;
  start_timer(211);
  u64 seed = 0x1000;
  // At least 40 rounds; more where the machine is so busy that few ticks find the thread inside.
  for (int round = 0; round < 40 || (g_nested.inside <= 20 && round < 4000); ++round, seed += 0x10000) {
    Command command{};
    command.op = OP_SPIN;
    command.in[2] = enclave_->identity().attributes.xfrm;
    command.in[3] = seed;
    std::thread stopper([&] {
      usleep(5000);
      command.in[0] = 1;
    });
    const int result = enclave_.enter(command);
    stopper.join();
    ASSERT_EQ(result, 0);
    ASSERT_EQ(enclave_.run().function, 4U);
    ASSERT_EQ(command.out[0], 0U) << "registers were damaged";
    ASSERT_GT(command.in[1], 0U);
  }
  start_timer(0);
  EXPECT_EQ(g_nested.bad, 0U);
  EXPECT_GT(g_nested.inside, 20U);
  const emulator::Counters counters = enclave_->counters();
  // A second tick may find the thread still at the AEP: no AEX of its own.
  EXPECT_LE(counters.aex, g_nested.inside);
  EXPECT_GT(counters.aex, g_nested.inside / 2);
  EXPECT_EQ(counters.aex_signal[SIGALRM], counters.aex);
  EXPECT_EQ(counters.eresume, counters.aex);
  EXPECT_EQ(counters.eenter, counters.eexit);
  ASSERT_TRUE(emulator::install_async_handler(SIGALRM, nullptr));
}

TEST_P(Transition, EntriesSurviveASignalStorm) {
  ASSERT_TRUE(emulator::install_async_handler(SIGALRM, &on_tick));
  g_nested.enclave = &enclave_;
  g_nested.inside = g_nested.outside = g_nested.bad = 0;
  start_timer(50);
  Command command{};
  u64 entries = 0;
  for (const double end = seconds_now() + 1.5; seconds_now() < end;) {
    for (int i = 0; i < 100; ++i, ++entries) {
      ASSERT_EQ(enclave_.enter(command), 0);
      ASSERT_EQ(enclave_.run().function, 4U);
    }
  }
  start_timer(0);
  EXPECT_EQ(command.steps, entries);
  EXPECT_EQ(g_nested.bad, 0U);
  const emulator::Counters counters = enclave_->counters();
  EXPECT_EQ(counters.eenter, entries + g_nested.inside);
  EXPECT_EQ(counters.eexit, entries + g_nested.inside);
  EXPECT_EQ(counters.eresume, counters.aex);
  EXPECT_GT(g_nested.inside + g_nested.outside, 1000U);
  ASSERT_TRUE(emulator::install_async_handler(SIGALRM, nullptr));
}

// #BP is not fixed up: SIGTRAP at the AEP, and a nested entry from its handler.
std::atomic<int> g_traps{0};
void on_trap(int, siginfo_t*, ucontext_t* context) {
  if (!emulator::is_at_aep(context)) return;
  sgx::EnclaveRun run{};
  run.tcs = static_cast<u64>(context->uc_mcontext.gregs[REG_RBX]);
  Command command{};
  command.op = OP_SSA;
  command.in[0] = g_nested.enclave->ssa_gpr(0, 0);
  if (emulator::enter(reinterpret_cast<u64>(&command), 0, 0, 2, 0, 0, &run) != 0 || run.function != 4) return;
  if (command.out[0] == (kSoftware | 3) && command.out[1] == g_nested.enclave->code(payload_int3_after)) ++g_traps;
}

TEST_P(Transition, BreakpointIsASignalAtTheAep) {
  g_nested.enclave = &enclave_;
  g_traps = 0;
  ASSERT_TRUE(emulator::install_async_handler(SIGTRAP, &on_trap));
  Command command{};
  command.op = OP_INT3;
  ASSERT_EQ(enclave_.enter(command), 0);
  EXPECT_EQ(enclave_.run().function, 4U);
  EXPECT_EQ(g_traps, 1);
  EXPECT_EQ(command.steps, 1U);
  ASSERT_TRUE(emulator::install_async_handler(SIGTRAP, nullptr));
}

// An exception in the nested entry itself: CSSA goes to 2 and comes back.
TEST_P(Transition, FaultInTheHandler) {
  Command outer{};
  outer.op = OP_UD2;
  ASSERT_EQ(enclave_.enter(outer), 0);
  ASSERT_EQ(enclave_.run().function, 3U);
  Command inner{};
  inner.op = OP_UD2;
  ASSERT_EQ(enclave_.enter(inner), 0);
  ASSERT_EQ(enclave_.run().function, 3U);
  EXPECT_EQ(inner.cssa, 1U);
  Command handler{};
  handler.op = OP_SSA;
  handler.in[0] = enclave_.ssa_gpr(0, 1);
  handler.in[1] = 2;
  ASSERT_EQ(enclave_.enter(handler), 0);
  EXPECT_EQ(handler.cssa, 2U);
  EXPECT_EQ(handler.out[0], kHardware | 6);
  ASSERT_EQ(enclave_.resume(), 0);
  EXPECT_EQ(inner.steps, 1U);
  enclave_.handle(2);
  ASSERT_EQ(enclave_.resume(), 0);
  EXPECT_EQ(outer.steps, 1U);
}

TEST_P(Transition, TwoThreads) {
  ASSERT_TRUE(emulator::install_async_handler(SIGALRM, &on_tick));
  g_nested.enclave = &enclave_;
  constexpr int kRounds = 3000;
  std::atomic<int> good{0};
  const auto work = [&](u32 index) {
    for (int i = 0; i < kRounds; ++i) {
      Command command{};
      sgx::EnclaveRun run{};
      run.tcs = enclave_.tcs(index);
      if (emulator::enter(reinterpret_cast<u64>(&command), 0, 0, 2, 0, 0, &run) == 0 && run.function == 4 && command.steps == 1) ++good;
    }
  };
  std::thread first(work, 0);
  std::thread second(work, 1);
  first.join();
  second.join();
  EXPECT_EQ(good, 2 * kRounds);
}

TEST_P(Transition, BusyTcsIsRefused) {
  Command command{};
  command.op = OP_SPIN;
  command.in[2] = enclave_->identity().attributes.xfrm;
  std::thread other([&] {
    sgx::EnclaveRun run{};
    run.tcs = enclave_.tcs();
    EXPECT_EQ(emulator::enter(reinterpret_cast<u64>(&command), 0, 0, 2, 0, 0, &run), 0);
    EXPECT_EQ(run.function, 4U);
  });
  while (command.in[1] == 0) usleep(100);
  Command mine{};
  EXPECT_EQ(enclave_.enter(mine), 0);
  EXPECT_EQ(enclave_.run().function, 2U);
  EXPECT_EQ(enclave_.run().exception_vector, 13);
  EXPECT_EQ(mine.steps, 0U);
  command.in[0] = 1;
  other.join();
  EXPECT_EQ(command.out[0], 0U);
}

TEST_P(Transition, DirtyExitAborts) {
  if (!GetParam().assertions) GTEST_SKIP() << "needs assertions";
  Command command{};
  command.op = OP_DIRTY_EXIT;
  EXPECT_DEATH(enclave_.enter(command), "vector state that is not initial");
}

// Permissions change while another thread comes and goes: the tracking never refuses an accept that follows the interrupts.
TEST_P(Transition, TrackingUnderLoad) {
  std::atomic<bool> stop{false};
  std::thread other([&] {
    while (!stop) {
      Command command{};
      sgx::EnclaveRun run{};
      run.tcs = enclave_.tcs(1);
      EXPECT_EQ(emulator::enter(reinterpret_cast<u64>(&command), 0, 0, 2, 0, 0, &run), 0);
    }
  });
  const u64 page = kData + 2 * kPage;
  const u64 secinfo = enclave_.put_secinfo(sgx::kSecinfoRegRw | sgx::kSecinfoPr);
  for (int i = 0; i < 1000; ++i) {
    ASSERT_TRUE(enclave_->emodpr_range(page, kPage, sgx::kSecinfoR | sgx::kSecinfoW).ok());
    const auto outcome = enclave_.leaf(5, secinfo, enclave_.address(page));
    ASSERT_FALSE(outcome.faulted);
    ASSERT_EQ(outcome.rax, 0U) << "round " << i;
  }
  stop = true;
  other.join();
}

// The host unmaps and maps pages of a running enclave, its SSA and stack among them: nothing breaks, faults can be resumed.
TEST_P(Transition, HostPlaysWithPageTables) {
  ASSERT_TRUE(emulator::install_async_handler(SIGALRM, &on_tick));
  g_nested.enclave = &enclave_;
  std::atomic<bool> stop{false};
  std::thread hostile([&] {
    const u64 pages[] = {tcs_offset(0) + kSsaOffset, tcs_offset(0) + kGsOffset, kCode, kData};
    for (u64 i = 0; !stop; ++i) {
      enclave_->set_present(pages[i % 4], kPage, false);
      for (int k = 0; k < 50; ++k) __builtin_ia32_pause();
      enclave_->set_present(pages[i % 4], kPage, true);
      usleep(20);
    }
  });
  start_timer(500);
  u64 done = 0;
  const u64 secinfo = enclave_.put_secinfo(sgx::kSecinfoRegR);
  for (const double end = seconds_now() + 1.0; seconds_now() < end || done <= 100;) {
    Command command{};
    command.op = OP_ENCLU;
    command.in[0] = 5;  // an EACCEPT that does not match
    command.in[1] = secinfo;
    command.in[2] = enclave_.address(kData + kPage);
    ASSERT_EQ(enclave_.enter(command), 0);
    if (enclave_.run().function == 2) continue;  // a page of the SSA was away
    // A real fault: nothing to repair inside, so the interrupted code is simply resumed until it ends.
    while (enclave_.run().function == 3) ASSERT_EQ(enclave_.resume(), 0);
    ASSERT_EQ(command.steps, 1U);
    ASSERT_EQ(command.out[0], 19U);
    ++done;
  }
  start_timer(0);
  stop = true;
  hostile.join();
  EXPECT_GT(done, 100U);
  ASSERT_TRUE(emulator::install_async_handler(SIGALRM, nullptr));
}

// A thread that was started by one that has entered: CPUID faulting is inherited, the block is not.
TEST_P(Transition, CpuidInAThreadOfAThread) {
  Command command{};
  ASSERT_EQ(enclave_.enter(command), 0);
  u32 highest = 0;
  std::thread([&] {
    u32 ebx = 0, ecx = 0, edx = 0;
    __cpuid(0, highest, ebx, ecx, edx);
  }).join();
  EXPECT_GT(highest, 0U);
}

// A fault that the operating system handles: the enclave never hears of it.
TEST_P(Transition, PageFaultHook) {
  struct Context {
    TestEnclave* enclave;
    int calls;
  } context{&enclave_, 0};
  enclave_->set_present(kData, kPage, false);
  enclave_->set_page_fault_hook(
      [](void* opaque, const emulator::PageFault& fault) {
        auto* mine = static_cast<Context*>(opaque);
        ++mine->calls;
        if (fault.address != mine->enclave->address(kData)) return false;
        (*mine->enclave)->set_present(kData, kPage, true);
        return true;
      },
      &context);
  Command command{};
  command.op = OP_LOAD;
  command.in[0] = enclave_.address(kData);
  ASSERT_EQ(enclave_.enter(command), 0);
  EXPECT_EQ(enclave_.run().function, 4U);
  EXPECT_EQ(context.calls, 1);
  EXPECT_EQ(command.cssa, 0U);
  EXPECT_EQ(enclave_->counters().aex_vector[14], 1U);
  enclave_->set_page_fault_hook(nullptr, nullptr);
}

TEST_P(Transition, FastModeDoesNotTrap) {
  constexpr u64 kEntries = 50;
  Command command{};
  for (u64 i = 0; i < kEntries; ++i) ASSERT_EQ(enclave_.enter(command), 0);
  const emulator::Counters counters = enclave_->counters();
  const bool fast = GetParam().mode == emulator::Mode::fast;
  EXPECT_EQ(enclave_->patched_sites(), fast ? 4U : 0U);
  // The first entry may trap: it brings the page tables of the SSA up to date.
  if (fast && !GetParam().assertions) {
    EXPECT_GE(counters.fast_leaves, kEntries - 1);
    EXPECT_LE(counters.trapped_leaves, 1U);
  } else {
    EXPECT_EQ(counters.trapped_leaves, kEntries);
  }
}

INSTANTIATE_TEST_SUITE_P(Modes, Transition, testing::ValuesIn(kModes),
                         [](const auto& info) { return mode_name(info); });

}  // namespace
}  // namespace emulator_test
