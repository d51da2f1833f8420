// Virtual CPUs against the payload enclave on the emulator, strict and fast: exits, calls, exceptions, ticks, idling, EDMM.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <thread>

#include "host/calls.h"
#include "host/clock.h"
#include "host/emulator_device.h"
#include "host/futex.h"
#include "host/io_thread.h"
#include "host/vcpu.h"
#include "tests/host/payload.h"

namespace {

using host_abi::CallSlot;
using host_abi::ExitCode;
using host_abi::Op;
using payload::Script;

constexpr std::uint64_t kMs = 1'000'000;

// A runtime without a kernel: scripts play it. Handles 0 and 1 are the ends of a pipe.
class Machine {
 public:
  explicit Machine(emulator::Mode mode, std::uint32_t vcpus = 2)
      : memory_(host::SharedMemory::create(vcpus, 1, 0, {}).value()),
        scripts_(vcpus),
        device_({.mode = mode}),
        handles_(open_pipe(), pipe_[1], STDERR_FILENO) {
    payload::use_test_device();
    clock_.publish_to(memory_.clock());
  }
  ~Machine() {
    vcpus_.reset();
    io_.reset();
    close(pipe_[0]);
    close(pipe_[1]);
  }

  Script& script(std::uint32_t index = 0) { return scripts_[index]; }
  host_abi::VcpuBlock& block(std::uint32_t index = 0) { return memory_.vcpu(index); }
  host::SharedMemory& memory() { return memory_; }
  host::EmulatorDevice& device() { return device_; }
  host::VcpuSet& vcpus() { return *vcpus_; }
  int write_end() const { return pipe_[1]; }
  const std::string& log() const { return log_; }
  std::uint64_t arena(std::uint64_t offset = 0) {
    return reinterpret_cast<std::uintptr_t>(memory_.arena().data() + offset);
  }

  void start() {
    std::vector<const Script*> scripts;
    std::vector<host_abi::VcpuBlock*> blocks;
    for (std::uint32_t i = 0; i < scripts_.size(); ++i) {
      scripts.push_back(&scripts_[i]);
      blocks.push_back(&memory_.vcpu(i));
    }
    enclave_ = std::make_unique<payload::Enclave>(scripts, blocks);
    const host::Status loaded = enclave_->load(device_);
    ASSERT_TRUE(loaded) << loaded.error().message;
    vcpus_ = std::make_unique<host::VcpuSet>(host::VcpuSet::Parts{device_, memory_, clock_, enclave_->tcs_addresses(), nullptr,
                                                                  [this] { io_->wake(); }});
    calls_ = std::make_unique<host::HostCalls>(
        host::HostCalls::Parts{device_, handles_, clock_, *vcpus_, memory_.arena(),
                               [this](std::uint64_t, std::string_view text) { log_ += text; }});
    vcpus_->set_calls(*calls_);
    io_ = std::make_unique<host::IoThread>(memory_.rings(), *calls_, [this] { vcpus_->completions_arrived(); });
    ASSERT_TRUE(io_->start());
    ASSERT_TRUE(vcpus_->start());
  }
  host::Outcome run() {
    start();
    const host::Outcome outcome = vcpus_->wait();
    EXPECT_TRUE(vcpus_->stop());
    io_->stop();
    return outcome;
  }
  // Puts a request on the submission ring, as the kernel would.
  void submit(const CallSlot& request) {
    host_abi::Rings& rings = memory_.rings();
    rings.sq[rings.sq_tail % host_abi::kRingEntries] = request;
    host::shared(rings.sq_tail).fetch_add(1);
    if (host::shared(rings.sq_sleeping).load() != 0) io_->wake();
  }
  host::IoThread& io() { return *io_; }

 private:
  int open_pipe() {
    if (pipe2(pipe_, O_CLOEXEC) != 0) std::abort();
    return pipe_[0];
  }
  int pipe_[2] = {-1, -1};
  host::SharedMemory memory_;
  std::vector<Script> scripts_;
  host::ClockSource clock_;
  host::EmulatorDevice device_;
  host::HandleTable handles_;
  std::string log_;
  std::unique_ptr<payload::Enclave> enclave_;
  std::unique_ptr<host::VcpuSet> vcpus_;
  std::unique_ptr<host::HostCalls> calls_;
  std::unique_ptr<host::IoThread> io_;
};

CallSlot request(Op op, std::uint64_t a0 = 0, std::uint64_t a1 = 0, std::uint64_t a2 = 0, std::uint64_t buffer = 0,
                 std::uint64_t length = 0) {
  CallSlot slot = {};
  slot.token = 7;
  slot.op = static_cast<std::uint32_t>(op);
  slot.args[0] = a0;
  slot.args[1] = a1;
  slot.args[2] = a2;
  slot.buffer = buffer;
  slot.length = length;
  return slot;
}

class VcpuTest : public testing::TestWithParam<emulator::Mode> {
 protected:
  Machine machine_{GetParam()};
};

TEST_P(VcpuTest, ShutdownCarriesTheStatus) {
  machine_.script().exit(ExitCode::shutdown, 42);
  const host::Outcome outcome = machine_.run();
  EXPECT_EQ(outcome.kind, host::Outcome::Kind::shutdown);
  EXPECT_EQ(outcome.status, 42);
}

TEST_P(VcpuTest, PanicCarriesItsCode) {
  machine_.script().exit(ExitCode::panic, 0x1234);
  const host::Outcome outcome = machine_.run();
  EXPECT_EQ(outcome.kind, host::Outcome::Kind::panic);
  EXPECT_EQ(outcome.detail, 0x1234U);
}

TEST_P(VcpuTest, AnUnknownExitCodeEndsTheInstance) {
  machine_.script().exit(static_cast<ExitCode>(99));
  const host::Outcome outcome = machine_.run();
  EXPECT_EQ(outcome.kind, host::Outcome::Kind::crashed);
  EXPECT_NE(outcome.message.find("99"), std::string::npos) << outcome.message;
}

TEST_P(VcpuTest, TheFirstEntryIsBootAndLaterOnesResume) {
  std::uint64_t& first = machine_.script().cell();
  std::uint64_t& argument = machine_.script().cell();
  std::uint64_t& second = machine_.script().cell();
  machine_.script().get(first, payload::entry_code).get(argument, payload::entry_argument);
  machine_.script().exit(ExitCode::yield).get(second, payload::entry_code).exit(ExitCode::shutdown);
  machine_.run();
  EXPECT_EQ(first, static_cast<std::uint64_t>(host_abi::EntryCode::boot));
  EXPECT_EQ(argument, reinterpret_cast<std::uintptr_t>(&machine_.memory().boot()));
  EXPECT_EQ(second, static_cast<std::uint64_t>(host_abi::EntryCode::resume));
}

TEST_P(VcpuTest, CallsAreServedAndMarkedDone) {
  Script& script = machine_.script();
  std::uint64_t& wrote = script.cell();
  std::uint64_t& read = script.cell();
  std::uint64_t& none = script.cell();
  std::memcpy(machine_.memory().arena().data(), "hello", 5);
  script.call(machine_.block().call, request(Op::write, 1, 0, 0, machine_.arena(), 5), wrote);
  script.call(machine_.block().call, request(Op::read, 0, 0, 0, machine_.arena(64), 100), read);
  script.call(machine_.block().call, request(static_cast<Op>(77)), none);
  script.exit(ExitCode::shutdown);
  machine_.run();
  EXPECT_EQ(wrote, 5U);
  EXPECT_EQ(read, 5U);
  EXPECT_EQ(std::memcmp(machine_.memory().arena().data() + 64, "hello", 5), 0);
  EXPECT_EQ(static_cast<std::int64_t>(none), -ENOSYS);
  EXPECT_EQ(machine_.block().call.token_done, 7U);
}

TEST_P(VcpuTest, BuffersOutsideTheArenaAreRefused) {
  Script& script = machine_.script();
  const std::uint64_t size = host::SharedMemory::kArenaSize;
  const std::uint64_t bad[][2] = {{0, 8},
                                  {payload::kData, 8},
                                  {payload::kSize - 4, 8},
                                  {machine_.arena() - 1, 8},
                                  {machine_.arena(size - 4), 8},
                                  {machine_.arena(), size + 1},
                                  {machine_.arena(8), ~std::uint64_t{0}},
                                  {~std::uint64_t{0} - 3, 8}};
  std::vector<std::uint64_t*> results;
  for (const auto& [buffer, length] : bad) {
    for (const Op op : {Op::read, Op::write, Op::fstat, Op::log}) {
      results.push_back(&script.cell());
      script.call(machine_.block().call, request(op, 0, 0, 0, buffer, length), *results.back());
    }
  }
  results.push_back(&script.cell());
  script.call(machine_.block().call, request(Op::fstat, 0, 0, 0, machine_.arena(), 31), *results.back());
  script.exit(ExitCode::shutdown);
  machine_.run();
  for (const std::uint64_t* result : results) EXPECT_EQ(static_cast<std::int64_t>(*result), -EFAULT);
  EXPECT_EQ(machine_.log(), "");
}

TEST_P(VcpuTest, ExceptionsGoToTheHandlerAndTheCodeGoesOn) {
  Script& script = machine_.script();
  std::uint64_t& faults = script.cell();
  std::uint64_t& exitinfo = script.cell();
  std::uint64_t& loaded = script.cell();
  std::uint64_t& stored = script.cell();
  script.undefined().breakpoint();
  script.load(payload::kFree, loaded);
  script.store(payload::kReadOnly, 1, &stored);
  script.get(faults, payload::faults).get(exitinfo, payload::last_exitinfo).exit(ExitCode::shutdown, 3);
  const host::Outcome outcome = machine_.run();
  EXPECT_EQ(outcome.status, 3);
  EXPECT_EQ(faults, 4U);
  EXPECT_EQ(loaded, payload::kFaulted);
  EXPECT_EQ(stored, payload::kFaulted);
  EXPECT_EQ(exitinfo & 0xff, 14U);
  // #BP comes as SIGTRAP and is taken by a nested entry; the other three are reported by the enter function.
  EXPECT_EQ(machine_.vcpus().counters().faults, 3U);
  EXPECT_EQ(machine_.vcpus().counters().interrupts, 1U);
}

TEST_P(VcpuTest, AFaultInTheHandlerEndsTheInstance) {
  machine_.script().set(payload::handler_mode, 2).undefined().exit(ExitCode::shutdown);
  const host::Outcome outcome = machine_.run();
  EXPECT_EQ(outcome.kind, host::Outcome::Kind::crashed);
  EXPECT_NE(outcome.message.find("exception handler faults: exception 6"), std::string::npos) << outcome.message;
}

TEST_P(VcpuTest, AHandlerMayPanic) {
  machine_.script().set(payload::handler_mode, static_cast<std::uint64_t>(ExitCode::panic)).undefined();
  EXPECT_EQ(machine_.run().kind, host::Outcome::Kind::panic);
}

TEST_P(VcpuTest, AHandlerThatRefusesForEverEndsTheInstance) {
  Script& script = machine_.script();
  script.set(payload::handler_mode, static_cast<std::uint64_t>(ExitCode::retired));
  // Without its handler's help the read from an absent page faults for ever; #UD would be stepped over.
  script.load(payload::kFree, script.cell()).exit(ExitCode::shutdown);
  const host::Outcome outcome = machine_.run();
  // The test's handler repairs the state even when it says `retired`, so the script goes on.
  EXPECT_EQ(outcome.kind, host::Outcome::Kind::shutdown);
}

TEST_P(VcpuTest, TicksInterruptCodeThatNeverLeaves) {
  Script& script = machine_.script();
  std::uint64_t& set = script.cell();
  script.call(machine_.block().call, request(Op::set_tick, 1000), set);
  const std::size_t loop = script.here();
  std::uint64_t& ticks = script.cell(0);
  script.spin(10'000).get(ticks, payload::handler_entries);
  script.forever(loop);
  machine_.start();
  const std::uint64_t start = host::monotonic_now();
  while (host::shared(ticks).load() < 20 && host::monotonic_now() < start + 30'000 * kMs) std::this_thread::yield();
  EXPECT_GE(host::shared(ticks).load(), 20U);
  EXPECT_FALSE(machine_.vcpus().ended());
  // Counted before stop(), which sends signals of its own, and the time taken after the count.
  const std::uint64_t interrupts = machine_.vcpus().counters().interrupts;
  const std::uint64_t elapsed_ms = (host::monotonic_now() - start) / kMs;
  EXPECT_LE(interrupts, 2 * elapsed_ms + 2);
  ASSERT_TRUE(machine_.vcpus().stop());
}

TEST_P(VcpuTest, TheHandlerSeesPendingBits) {
  Script& script = machine_.script();
  std::uint64_t& running = script.cell(0);
  std::uint64_t& seen = script.cell(0);
  script.put(running, 1);
  const std::size_t loop = script.here();
  script.get(seen, payload::pending_seen);
  script.spin(1000);
  script.forever(loop);
  machine_.start();
  while (host::shared(running).load() == 0) std::this_thread::yield();
  EXPECT_EQ(machine_.vcpus().kick_vcpu(0), 0);
  machine_.vcpus().deliver_signal();
  const std::uint64_t until = host::monotonic_now() + 5000 * kMs;
  while ((host::shared(seen).load() & 6) != 6 && host::monotonic_now() < until) std::this_thread::yield();
  EXPECT_EQ(seen & 6, 6U);
  EXPECT_EQ(machine_.vcpus().kick_vcpu(9), -EINVAL);
}

TEST_P(VcpuTest, IdleEndsAtItsDeadline) {
  Script& script = machine_.script();
  const std::uint64_t start = host::monotonic_now();
  script.idle(machine_.block(), start + 30 * kMs).exit(ExitCode::shutdown);
  machine_.run();
  EXPECT_GE(host::monotonic_now() - start, 30 * kMs);
  // On a loaded machine the deadline may have passed before the first entry.
  EXPECT_EQ(machine_.vcpus().counters().idle_sleeps + machine_.vcpus().counters().idle_spins, 1U);
  EXPECT_EQ(machine_.block().state, host_abi::kVcpuRunning);
}

TEST_P(VcpuTest, AnIdleVcpuIsWoken) {
  Script& script = machine_.script();
  script.idle(machine_.block(), host::kNoDeadline).exit(ExitCode::shutdown, 5);
  machine_.start();
  const std::uint64_t until = host::monotonic_now() + 5000 * kMs;
  while (host::shared(machine_.block().state).load() != host_abi::kVcpuIdle && host::monotonic_now() < until) {
    std::this_thread::yield();
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_EQ(machine_.vcpus().wake_vcpu(0), 0);
  EXPECT_EQ(machine_.vcpus().wait().status, 5);
}

// Two virtual CPUs hand a token back and forth: each sleeps without a deadline until the other wakes it. A lost wake-up hangs.
TEST_P(VcpuTest, WakeUpsAreNotLost) {
  constexpr std::uint64_t kRounds = 500;
  std::uint64_t& token = machine_.script(0).cell(0);
  for (std::uint32_t me : {0U, 1U}) {
    Script& script = machine_.script(me);
    std::uint64_t& result = script.cell();
    if (me == 0) script.call(machine_.block(0).call, request(Op::start_vcpu, 1), result);
    const std::size_t loop = script.here();
    script.add(token, 1);
    // Announce idleness, then wake the other, then sleep: a wake-up that comes before the exit must end the sleep at once.
    script.store32(machine_.block(me).state, host_abi::kVcpuIdle);
    script.call(machine_.block(me).call, request(Op::wake_vcpu, 1 - me), result);
    script.idle(machine_.block(me), host::monotonic_now() + 20'000 * kMs);
    script.repeat(loop, kRounds);
    if (me == 0) script.exit(ExitCode::shutdown, 1);
    if (me == 1) script.call(machine_.block(me).call, request(Op::wake_vcpu, 0), result).exit(ExitCode::stop_vcpu);
  }
  machine_.start();
  // The scripts may overtake each other (a wake-up may find the other awake), so somebody pushes: what is tested is that no state is
  // reached where nobody can be woken.
  std::uint64_t pushes = 0;
  while (!machine_.vcpus().ended() && pushes < 2'000'000) {
    machine_.vcpus().wake_vcpu(0);
    machine_.vcpus().wake_vcpu(1);
    ++pushes;
    std::this_thread::yield();
  }
  EXPECT_TRUE(machine_.vcpus().ended());
}

TEST_P(VcpuTest, ABlockedReadIsInterruptedByASignal) {
  Script& script = machine_.script();
  std::uint64_t& result = script.cell();
  std::uint64_t& seen = script.cell(0);
  script.call(machine_.block().call, request(Op::read, 0, 0, 0, machine_.arena(), 10), result);
  script.get(seen, payload::pending_seen).exit(ExitCode::shutdown);
  machine_.start();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  machine_.vcpus().deliver_signal();
  EXPECT_EQ(machine_.vcpus().wait().kind, host::Outcome::Kind::shutdown);
  EXPECT_EQ(static_cast<std::int64_t>(result), -EINTR);
  EXPECT_EQ(seen, host_abi::kPendingSignal);
}

TEST_P(VcpuTest, StartVcpuChecksItsArgument) {
  Script& script = machine_.script();
  std::uint64_t& good = script.cell();
  std::uint64_t& twice = script.cell();
  std::uint64_t& self = script.cell();
  std::uint64_t& beyond = script.cell();
  std::uint64_t& code = machine_.script(1).cell(0xff);
  std::uint64_t& go = machine_.script(1).cell(0);
  machine_.script(1).wait_equal(go, 1).get(code, payload::entry_code).exit(ExitCode::shutdown, 8);
  script.call(machine_.block().call, request(Op::start_vcpu, 1), good);
  script.call(machine_.block().call, request(Op::start_vcpu, 1), twice);
  script.call(machine_.block().call, request(Op::start_vcpu, 0), self);
  script.call(machine_.block().call, request(Op::start_vcpu, 2), beyond);
  script.put(go, 1).exit(ExitCode::stop_vcpu);
  EXPECT_EQ(machine_.run().status, 8);
  EXPECT_EQ(good, 0U);
  EXPECT_EQ(static_cast<std::int64_t>(twice), -EBUSY);
  EXPECT_EQ(static_cast<std::int64_t>(self), -EBUSY);
  EXPECT_EQ(static_cast<std::int64_t>(beyond), -EINVAL);
  EXPECT_EQ(code, static_cast<std::uint64_t>(host_abi::EntryCode::start_vcpu));
}

TEST_P(VcpuTest, StopTakesThreadsOutWhereverTheyAre) {
  std::uint64_t& result = machine_.script(0).cell();
  machine_.script(0).call(machine_.block(0).call, request(Op::start_vcpu, 1), result);
  const std::size_t loop = machine_.script(0).here();
  machine_.script(0).spin(100).forever(loop);
  machine_.script(1).idle(machine_.block(1), host::kNoDeadline).exit(ExitCode::stop_vcpu);
  machine_.start();
  std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_TRUE(machine_.vcpus().stop());
  EXPECT_EQ(machine_.vcpus().start_vcpu(0), -ESRCH);
}

TEST_P(VcpuTest, ARingReadWaitsForDataWithoutHoldingUpOthers) {
  machine_.script().idle(machine_.block(), host::kNoDeadline).exit(ExitCode::shutdown, 9);
  machine_.start();
  CallSlot read = request(Op::read, 0, 0, 0, machine_.arena(), 16);
  read.token = 100;
  machine_.submit(read);
  CallSlot stat = request(Op::fstat, 0, 0, 0, machine_.arena(4096), 32);
  stat.token = 101;
  machine_.submit(stat);
  host_abi::Rings& rings = machine_.memory().rings();
  const std::uint64_t until = host::monotonic_now() + 5000 * kMs;
  while (host::shared(rings.cq_tail).load() < 1 && host::monotonic_now() < until) std::this_thread::yield();
  ASSERT_EQ(rings.cq_tail, 1U);
  EXPECT_EQ(rings.cq[0].token, 101U);
  EXPECT_EQ(rings.cq[0].result, 0);
  ASSERT_EQ(write(machine_.write_end(), "abc", 3), 3);
  while (host::shared(rings.cq_tail).load() < 2 && host::monotonic_now() < until) std::this_thread::yield();
  ASSERT_EQ(rings.cq_tail, 2U);
  EXPECT_EQ(rings.cq[1].token, 100U);
  EXPECT_EQ(rings.cq[1].result, 3);
  // The first completion woke the idle virtual CPU.
  EXPECT_EQ(machine_.vcpus().wait().status, 9);
}

TEST_P(VcpuTest, DynamicPagesComeChangeAndGo) {
  Script& script = machine_.script();
  CallSlot& slot = machine_.block().call;
  const std::uint64_t page = payload::kFree;
  const std::uint64_t second = page + 0x1000;
  std::vector<std::uint64_t*> zero;
  const auto ok = [&]() -> std::uint64_t& {
    zero.push_back(&script.cell());
    return *zero.back();
  };
  std::uint64_t& before = script.cell();
  std::uint64_t& value = script.cell();
  std::uint64_t& copied = script.cell();
  std::uint64_t& denied = script.cell();
  std::uint64_t& early = script.cell();
  std::uint64_t& gone = script.cell();
  script.load(page, before);
  script.call(slot, request(Op::augment, page, 0x2000), ok());
  script.accept(page, sgx::kSecinfoRegRw | sgx::kSecinfoPending, ok());
  script.store(page + 8, 77).load(page + 8, value);
  script.accept_copy(second, page, ok()).load(second + 8, copied);
  script.call(slot, request(Op::restrict_perm, page, 0x1000, sgx::kSecinfoR), ok());
  script.accept(page, sgx::kSecinfoRegR | sgx::kSecinfoPr, ok());
  script.store(page, 1, &denied);
  script.extend(page, sgx::kSecinfoRegRw, ok());
  script.store(page, 2, &ok());
  script.call(slot, request(Op::modify_type, page, 0x2000, 4), ok());
  script.call(slot, request(Op::remove, page, 0x2000), early);
  script.accept(page, sgx::secinfo_flags(sgx::PageType::trim, 0) | sgx::kSecinfoModified, ok());
  script.accept(second, sgx::secinfo_flags(sgx::PageType::trim, 0) | sgx::kSecinfoModified, ok());
  script.call(slot, request(Op::remove, page, 0x2000), ok());
  script.load(page, gone);
  script.exit(ExitCode::shutdown);
  machine_.run();
  EXPECT_EQ(before, payload::kFaulted);
  EXPECT_EQ(value, 77U);
  EXPECT_EQ(copied, 77U);
  EXPECT_EQ(denied, payload::kFaulted);
  EXPECT_EQ(static_cast<std::int64_t>(early), -EPERM);
  EXPECT_EQ(gone, payload::kFaulted);
  for (std::size_t i = 0; i < zero.size(); ++i) {
    // store() notes only faults.
    const std::uint64_t expected = *zero[i] == payload::kUntouched ? payload::kUntouched : 0;
    EXPECT_EQ(*zero[i], expected) << "step " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Modes, VcpuTest, testing::Values(emulator::Mode::strict, emulator::Mode::fast),
                         [](const auto& info) { return info.param == emulator::Mode::strict ? "strict" : "fast"; });

}  // namespace
