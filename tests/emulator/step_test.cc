// Mode fast: a signal at every single instruction of a transition or leaf. A child runs one scenario; the parent steps through it once with
// ptrace; then, for each instruction it has seen, a new child runs up to there, gets SIGALRM and runs on. The child checks itself.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <vector>

#include "emulator/thread.h"
#include "tests/emulator/fixture.h"

namespace emulator_test {
namespace {

TestEnclave* g_enclave = nullptr;
u64 g_nested = 0;
bool g_bad = false;

// As the host's tick: a nested entry if the thread was interrupted in the enclave.
void on_alarm(int, siginfo_t*, ucontext_t* context) {
  if (!emulator::is_at_aep(context)) return;
  ++g_nested;
  Command command{};
  sgx::EnclaveRun run{};
  run.tcs = static_cast<u64>(context->uc_mcontext.gregs[REG_RBX]);
  if (emulator::enter(reinterpret_cast<u64>(&command), 0, 0, 2, 0, 0, &run) != 0 || run.function != 4) g_bad = true;
  if (command.steps != 1 || command.cssa == 0) g_bad = true;
}

bool counters_fit(u64 entries, u64 exits, u64 aex, u64 eresume) {
  const emulator::Counters counters = (*g_enclave)->counters();
  // An interrupt in the enclave adds one of each.
  return counters.eenter == entries + g_nested && counters.eexit == exits + g_nested && counters.aex == aex + g_nested &&
         counters.eresume == eresume + g_nested;
}

// Scenarios: true if all was right. Each has warmed up its path before the stepping starts.
bool enter_and_leave() {
  sgx::EnclaveRun run{};
  run.tcs = g_enclave->tcs();
  if (emulator::enter(0, 0, 0, 2, 0, 0, &run) != 0 || run.function != 4) return false;
  return counters_fit(3, 3, 0, 0);
}

bool accept_pages() {
  Command command{};
  command.op = OP_ENCLU_LOOP;
  command.in[0] = 5;
  command.in[1] = g_enclave->address(kData);
  command.in[2] = g_enclave->address(kDynamic);
  command.in[4] = 3;
  if (g_enclave->enter(command) != 0 || g_enclave->run().function != 4 || command.out[0] != 3) return false;
  return (*g_enclave)->counters().eaccept == 3 && counters_fit(3, 3, 0, 0);
}

// A leaf that fails with a code, one that faults, registers looked at.
bool refused_leaf() {
  const auto outcome = g_enclave->leaf(5, g_enclave->address(kData), g_enclave->address(kData + kPage));
  if (outcome.faulted || outcome.rax != 19 || (outcome.flags & 0x8d5) != 0x40 || !outcome.registers_kept) return false;
  return counters_fit(3, 3, 0, 0);
}

bool resume_after_fault() {
  Command command{};
  command.op = OP_UD2;
  if (g_enclave->enter(command) != 0 || g_enclave->run().function != 3) return false;
  const auto ssa = g_enclave->handle(2);
  if (ssa.exitinfo != 0x80000306) return false;
  if (g_enclave->resume() != 0 || g_enclave->run().function != 4 || command.steps != 1) return false;
  return counters_fit(4, 4, 1, 1);
}

using Scenario = bool (*)();

[[noreturn]] void child_main(Scenario scenario) {
  ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
  raise(SIGSTOP);
  const bool good = scenario();
  _exit(good && !g_bad ? 0 : 1);
}

// What is looked at: the emulator's assembly, the thunks, the enclave; not the C++ around it.
bool is_interesting(u64 rip) {
  const emulator::State& state = (*g_enclave)->state();
  const u64 thunks = reinterpret_cast<u64>(state.thunks);
  return state.contains(rip) || rip - thunks < state.thunks_size || (rip >= reinterpret_cast<u64>(&emulator::emulator_aep[0]) - 0x200 &&
         rip < reinterpret_cast<u64>(&emulator::emulator_aep[0]) + 0x600);
}

constexpr u64 kMaxSteps = 50000;

// One executed instruction: its address, and how often it had been executed before.
struct Moment {
  u64 rip;
  u64 earlier;
};

void* as_data(u64 value) { return reinterpret_cast<void*>(value); }

pid_t start(Scenario scenario) {
  const pid_t child = fork();
  if (child == 0) child_main(scenario);
  int status = 0;
  waitpid(child, &status, 0);
  return child;
}

// Goes on with `request` until the child stops with SIGTRAP; its own signals (traps that the emulator plays) are passed on. False: the
// child has ended with `*status`.
bool go_on(pid_t child, __ptrace_request request, int* status, int signal = 0) {
  for (;;) {
    ptrace(request, child, nullptr, as_data(static_cast<u64>(signal)));
    if (waitpid(child, status, 0) != child || !WIFSTOPPED(*status)) return false;
    signal = WSTOPSIG(*status);
    if (signal == SIGTRAP) return true;
  }
}

std::vector<Moment> interesting_moments(Scenario scenario) {
  std::vector<Moment> moments;
  std::map<u64, u64> seen;
  const pid_t child = start(scenario);
  user_regs_struct regs{};
  int status = 0;
  for (u64 i = 0; i < kMaxSteps; ++i) {
    ptrace(PTRACE_GETREGS, child, nullptr, &regs);
    // Of the enclave's own instructions, which are all alike, a sample is enough.
    constexpr u64 kSample = 7;
    const bool sampled = !(*g_enclave)->state().contains(regs.rip) || i % kSample == 0;
    const u64 earlier = is_interesting(regs.rip) ? seen[regs.rip]++ : 0;
    constexpr u64 kOften = 3;  // a loop (or REP) need not be looked at to its end
    if (is_interesting(regs.rip) && sampled && earlier < kOften) moments.push_back({regs.rip, earlier});
    if (!go_on(child, PTRACE_SINGLESTEP, &status)) return moments;
  }
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  return moments;
}

// A child that stands before the instruction of `moment`, by a breakpoint; 0 if it never comes there.
pid_t stop_at(Scenario scenario, const Moment& moment) {
  const pid_t child = start(scenario);
  const long word = ptrace(PTRACE_PEEKTEXT, child, as_data(moment.rip), nullptr);
  const long with_int3 = (word & ~0xffL) | 0xcc;
  user_regs_struct regs{};
  int status = 0;
  for (u64 times = 0;; ++times) {
    ptrace(PTRACE_POKETEXT, child, as_data(moment.rip), as_data(static_cast<u64>(with_int3)));
    if (!go_on(child, PTRACE_CONT, &status)) return 0;
    ptrace(PTRACE_POKETEXT, child, as_data(moment.rip), as_data(static_cast<u64>(word)));
    ptrace(PTRACE_GETREGS, child, nullptr, &regs);
    regs.rip = moment.rip;
    ptrace(PTRACE_SETREGS, child, nullptr, &regs);
    if (times == moment.earlier) return child;
    if (!go_on(child, PTRACE_SINGLESTEP, &status)) return 0;
  }
}

void signal_at_every_moment(Scenario scenario, std::size_t at_least) {
  ASSERT_TRUE(emulator::install_async_handler(SIGALRM, &on_alarm));
  const std::vector<Moment> moments = interesting_moments(scenario);
  EXPECT_GE(moments.size(), at_least);
  std::size_t reached = 0;
  for (const Moment& moment : moments) {
    const pid_t child = stop_at(scenario, moment);
    if (child == 0) continue;
    ++reached;
    int status = 0;
    int signal = SIGALRM;
    while (go_on(child, PTRACE_CONT, &status, signal)) signal = 0;
    ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0)
        << "status " << status << " with a signal at " << std::hex << moment.rip << " = emulator_aep + "
        << moment.rip - reinterpret_cast<u64>(&emulator::emulator_aep[0]);
  }
  // Stepping itself changes a little what runs (the trap flag), so not each moment comes again.
  EXPECT_GE(reached, moments.size() * 9 / 10);
  ASSERT_TRUE(emulator::install_async_handler(SIGALRM, nullptr));
}

class Step : public testing::Test {
 protected:
  Step() {
    g_enclave = &enclave_;
    // Twice: page tables and caches of the path are up to date.
    Command command{};
    for (int i = 0; i < 2; ++i) EXPECT_EQ(enclave_.enter(command), 0);
    g_nested = 0;
    g_bad = false;
  }
  TestEnclave enclave_{BuildParams{.mode = emulator::Mode::fast, .assertions = false}};
};

TEST_F(Step, EnterAndLeave) { signal_at_every_moment(&enter_and_leave, 60); }

TEST_F(Step, Accept) {
  ASSERT_TRUE(enclave_->eaug_range(kDynamic, 8 * kPage).ok());
  enclave_.put_secinfo(sgx::kSecinfoRegRw | sgx::kSecinfoPending);
  signal_at_every_moment(&accept_pages, 200);
}

TEST_F(Step, RefusedLeaf) {
  enclave_.put_secinfo(sgx::kSecinfoRegRw | sgx::kSecinfoPending);
  signal_at_every_moment(&refused_leaf, 100);
}

TEST_F(Step, Resume) { signal_at_every_moment(&resume_after_fault, 150); }

}  // namespace
}  // namespace emulator_test
