// Host calls and the ring server without an enclave, including input that a kernel of ours would not send.
#include "host/calls.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <random>
#include <thread>

#include "host/emulator_device.h"
#include "host/futex.h"
#include "host/io_thread.h"
#include "host/shared_memory.h"

namespace {

using host_abi::CallSlot;
using host_abi::Op;

class FakeVcpus final : public host::VcpuControl {
 public:
  std::int64_t start_vcpu(std::uint64_t index) override { return note("start", index); }
  std::int64_t wake_vcpu(std::uint64_t index) override { return note("wake", index); }
  std::int64_t kick_vcpu(std::uint64_t index) override { return note("kick", index); }
  std::int64_t set_tick(std::uint64_t period) override { return note("tick", period); }
  void wake_io() override { note("io", 0); }
  std::int64_t suspend() override { return note("suspend", 0); }
  std::string last;

 private:
  std::int64_t note(const char* what, std::uint64_t value) {
    last = fmt::format("{} {}", what, value);
    return 0;
  }
};

class CallsTest : public testing::Test {
 protected:
  CallsTest()
      : memory_(host::SharedMemory::create(1, 1, 0, {}).value()),
        device_(emulator::Options{}),
        calls_({device_, handles_, clock_, vcpus_, memory_.arena(),
                [this](std::uint64_t level, std::string_view text) { log_ = fmt::format("{}:{}", level, text); }}) {}

  std::int64_t call(Op op, std::uint64_t a0 = 0, std::uint64_t a1 = 0, std::uint64_t a2 = 0, std::uint64_t length = 0) {
    return calls_.serve(slot(op, a0, a1, a2, length), [] { return true; });
  }
  CallSlot slot(Op op, std::uint64_t a0 = 0, std::uint64_t a1 = 0, std::uint64_t a2 = 0, std::uint64_t length = 0) {
    CallSlot out = {};
    out.op = static_cast<std::uint32_t>(op);
    out.args[0] = a0;
    out.args[1] = a1;
    out.args[2] = a2;
    out.buffer = reinterpret_cast<std::uintptr_t>(memory_.arena().data());
    out.length = length;
    return out;
  }
  template <class T>
  T& arena(std::size_t offset = 0) {
    return *reinterpret_cast<T*>(memory_.arena().data() + offset);
  }

  host::SharedMemory memory_;
  host::EmulatorDevice device_;
  host::HandleTable handles_;
  host::ClockSource clock_;
  FakeVcpus vcpus_;
  std::string log_;
  host::HostCalls calls_;
};

TEST_F(CallsTest, EveryOperationKnowsBadHandles) {
  for (const Op op : {Op::read, Op::write, Op::poll, Op::ioctl_get, Op::ioctl_set, Op::fstat, Op::lseek, Op::close_handle}) {
    EXPECT_EQ(call(op, 17), -EBADF) << static_cast<int>(op);
    EXPECT_EQ(call(op, ~std::uint64_t{0}), -EBADF);
  }
}

TEST_F(CallsTest, PageCallsWithoutAnEnclaveAreRefused) {
  for (const Op op : {Op::augment, Op::restrict_perm, Op::modify_type, Op::remove}) {
    EXPECT_EQ(call(op, 0x10000, 0x1000, 4), -EINVAL) << static_cast<int>(op);
  }
  EXPECT_EQ(call(Op::modify_type, 0x10000, 0x1000, 0x104), -EINVAL);
}

TEST_F(CallsTest, VcpuCallsArePassedOn) {
  call(Op::start_vcpu, 3);
  EXPECT_EQ(vcpus_.last, "start 3");
  call(Op::set_tick, 4000);
  EXPECT_EQ(vcpus_.last, "tick 4000");
  call(Op::wake_vcpu, 1);
  EXPECT_EQ(vcpus_.last, "wake 1");
  call(Op::kick_vcpu, 2);
  EXPECT_EQ(vcpus_.last, "kick 2");
  call(Op::suspend);
  EXPECT_EQ(vcpus_.last, "suspend 0");
  call(Op::none);
  EXPECT_EQ(vcpus_.last, "io 0");
}

TEST_F(CallsTest, FilesAreReadSoughtAndDescribed) {
  const int fd = memfd_create("test", MFD_CLOEXEC);
  const auto handle = static_cast<std::uint64_t>(handles_.add(fd));
  std::memcpy(memory_.arena().data(), "0123456789", 10);
  EXPECT_EQ(call(Op::write, handle, 0, 0, 10), 10);
  EXPECT_EQ(call(Op::lseek, handle, 4, SEEK_SET), 4);
  EXPECT_EQ(call(Op::read, handle, 0, 0, 100), 6);
  EXPECT_EQ(std::memcmp(memory_.arena().data(), "456789", 6), 0);
  EXPECT_EQ(call(Op::read, handle, 0, 0, 100), 0);
  EXPECT_EQ(call(Op::lseek, handle, 0, 9), -EINVAL);
  EXPECT_EQ(call(Op::lseek, handle, static_cast<std::uint64_t>(-1), SEEK_SET), -EINVAL);
  EXPECT_EQ(call(Op::fstat, handle, 0, 0, 32), 0);
  const auto& stat = arena<host_abi::HostStat>();
  EXPECT_EQ(stat.mode & 0170000, 0100000U);
  EXPECT_EQ(stat.size, 10U);
  EXPECT_EQ(stat.flags, 0U);
  EXPECT_EQ(call(Op::close_handle, handle), 0);
  EXPECT_EQ(call(Op::read, handle, 0, 0, 1), -EBADF);
  EXPECT_EQ(calls_.counters().bytes_read.load(), 6U);
  EXPECT_EQ(calls_.counters().bytes_written.load(), 10U);
}

TEST_F(CallsTest, TerminalsAnswerAndOtherFilesAreNone) {
  int master = -1;
  int terminal = -1;
  ASSERT_EQ(openpty(&master, &terminal, nullptr, nullptr, nullptr), 0);
  const auto handle = static_cast<std::uint64_t>(handles_.add(terminal));
  winsize size = {.ws_row = 33, .ws_col = 77, .ws_xpixel = 0, .ws_ypixel = 0};
  std::memcpy(memory_.arena().data(), &size, sizeof(size));
  EXPECT_EQ(call(Op::ioctl_set, handle, TIOCSWINSZ, 0, 8), 0);
  std::memset(memory_.arena().data(), 0, 64);
  EXPECT_EQ(call(Op::ioctl_get, handle, TIOCGWINSZ, 0, 8), 0);
  EXPECT_EQ(arena<winsize>().ws_col, 77);
  EXPECT_EQ(call(Op::ioctl_get, handle, TCGETS, 0, 36), 0);
  EXPECT_EQ(call(Op::ioctl_set, handle, TCSETS, 0, 36), 0);
  EXPECT_EQ(call(Op::ioctl_set, handle, TCFLSH, 2), 0);
  EXPECT_EQ(call(Op::ioctl_get, handle, TCGETS, 0, 35), -EFAULT);
  EXPECT_EQ(call(Op::ioctl_set, handle, TCSETS, 0, 35), -EFAULT);
  EXPECT_EQ(call(Op::ioctl_get, handle, TIOCSTI, 0, 8), -ENOTTY);  // not on the list
  EXPECT_EQ(call(Op::ioctl_set, handle, TIOCSTI, 0, 8), -ENOTTY);
  EXPECT_EQ(call(Op::ioctl_get, handle, TCSETS, 0, 36), -ENOTTY);  // the wrong direction
  EXPECT_EQ(call(Op::fstat, handle, 0, 0, 32), 0);
  EXPECT_EQ(arena<host_abi::HostStat>().flags, 1U);
  const auto file = static_cast<std::uint64_t>(handles_.add(memfd_create("test", MFD_CLOEXEC)));
  EXPECT_EQ(call(Op::ioctl_get, file, TCGETS, 0, 36), -ENOTTY);
  close(master);
}

TEST_F(CallsTest, PollSaysWhatIsReady) {
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  const auto handle = static_cast<std::uint64_t>(handles_.add(ends[0]));
  EXPECT_EQ(call(Op::poll, handle, POLLIN, 0), 0);
  EXPECT_EQ(call(Op::poll, handle, POLLIN | POLLOUT, 0), POLLOUT);
  EXPECT_EQ(call(Op::poll, handle, 0x10000, 0), -EINVAL);
  const std::uint64_t start = host::monotonic_now();
  EXPECT_EQ(call(Op::poll, handle, POLLIN, 20'000'000), 0);
  EXPECT_GE(host::monotonic_now() - start, 20'000'000U);
  ASSERT_EQ(write(ends[1], "x", 1), 1);
  EXPECT_EQ(call(Op::poll, handle, POLLIN, ~std::uint64_t{0}), POLLIN);
  close(ends[1]);
}

TEST_F(CallsTest, NonBlockingDescriptorsOfTheUserStillWait) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
  const auto handle = static_cast<std::uint64_t>(handles_.add(ends[0]));
  std::thread writer([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    EXPECT_EQ(write(ends[1], "ab", 2), 2);
  });
  EXPECT_EQ(call(Op::read, handle, 0, 0, 10), 2);
  writer.join();
  close(ends[1]);
}

TEST_F(CallsTest, AWriteToAClosedPipeIsEpipe) {
  const auto previous = signal(SIGPIPE, SIG_IGN);
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const auto handle = static_cast<std::uint64_t>(handles_.add(ends[1]));
  close(ends[0]);
  EXPECT_EQ(call(Op::write, handle, 0, 0, 10), -EPIPE);
  host::HostCalls::NotReady reason;
  EXPECT_EQ(calls_.try_serve(slot(Op::write, handle, 0, 0, 10), reason), -EPIPE);
  signal(SIGPIPE, previous);
}

TEST_F(CallsTest, LogLinesReachTheSink) {
  std::memcpy(memory_.arena().data(), "line", 4);
  EXPECT_EQ(call(Op::log, 2, 0, 0, 4), 0);
  EXPECT_EQ(log_, "2:line");
}

TEST_F(CallsTest, RandomRequestsDoNoHarm) {
  std::mt19937_64 random(11);
  handles_.close(0);
  handles_.close(1);
  handles_.close(2);
  const std::uint64_t start = reinterpret_cast<std::uintptr_t>(memory_.arena().data());
  for (int i = 0; i < 200'000; ++i) {
    CallSlot request = {};
    request.token = random();
    request.op = static_cast<std::uint32_t>(random() % 24);
    for (std::uint64_t& argument : request.args) argument = random() >> (random() % 64);
    request.buffer = random() % 2 == 0 ? random() : start + random() % (2 * host::SharedMemory::kArenaSize);
    request.length = random() >> (random() % 64);
    if (request.op == static_cast<std::uint32_t>(Op::log)) request.length %= 4096;
    host::HostCalls::NotReady reason;
    const auto result = calls_.try_serve(request, reason);
    ASSERT_TRUE(result.has_value());
    ASSERT_GT(*result, -4096);
  }
}

// ---- The ring server.

class RingTest : public CallsTest {
 protected:
  void SetUp() override { ASSERT_TRUE(io_.start()); }
  void TearDown() override { io_.stop(); }
  void submit(const CallSlot& request) {
    host_abi::Rings& rings = memory_.rings();
    rings.sq[rings.sq_tail % host_abi::kRingEntries] = request;
    host::shared(rings.sq_tail).fetch_add(1);
    if (host::shared(rings.sq_sleeping).load() != 0) io_.wake();
  }
  bool wait_for(std::uint32_t tail) {
    const std::uint64_t until = host::monotonic_now() + 10'000'000'000;
    while (host::shared(memory_.rings().cq_tail).load() < tail) {
      if (host::monotonic_now() > until) return false;
      std::this_thread::yield();
    }
    return true;
  }
  std::atomic<int> wakes_ = 0;
  host::IoThread io_{memory_.rings(), calls_, [this] { ++wakes_; }};
};

TEST_F(RingTest, ManyRequestsAreAnsweredOnceEach) {
  constexpr std::uint32_t kCount = 5000;
  host_abi::Rings& rings = memory_.rings();
  std::vector<int> answers(kCount);
  std::uint32_t taken = 0;
  const auto take = [&] {
    while (taken != host::shared(rings.cq_tail).load(std::memory_order_acquire)) {
      const host_abi::Completion completion = rings.cq[taken % host_abi::kRingEntries];
      host::shared(rings.cq_head).store(++taken, std::memory_order_release);
      ASSERT_LT(completion.token, kCount);
      ++answers[completion.token];
      EXPECT_EQ(completion.result, completion.token % 2 == 0 ? 0 : -ENOSYS);
    }
  };
  for (std::uint32_t i = 0; i < kCount; ++i) {
    while (rings.sq_tail - host::shared(rings.sq_head).load() >= host_abi::kRingEntries) take();
    CallSlot request = slot(i % 2 == 0 ? Op::clock : static_cast<Op>(200));
    request.token = i;
    submit(request);
    take();
  }
  const std::uint64_t until = host::monotonic_now() + 10'000'000'000;
  while (taken < kCount && host::monotonic_now() < until) take();
  EXPECT_EQ(taken, kCount);
  for (const int count : answers) EXPECT_EQ(count, 1);
  EXPECT_GE(wakes_.load(), 1);
}

TEST_F(RingTest, AFullCompletionRingLosesNothing) {
  host_abi::Rings& rings = memory_.rings();
  for (std::uint32_t i = 0; i < 400; ++i) {
    while (rings.sq_tail - host::shared(rings.sq_head).load() >= host_abi::kRingEntries) std::this_thread::yield();
    CallSlot request = slot(Op::clock);
    request.token = i;
    submit(request);
  }
  ASSERT_TRUE(wait_for(host_abi::kRingEntries));
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_EQ(rings.cq_tail, host_abi::kRingEntries);
  host::shared(rings.cq_head).store(host_abi::kRingEntries);
  ASSERT_TRUE(wait_for(400));
  EXPECT_EQ(rings.cq[399 % host_abi::kRingEntries].token, 399U);
}

TEST_F(RingTest, WildIndicesAreIgnored) {
  host_abi::Rings& rings = memory_.rings();
  host::shared(rings.sq_tail).store(0x8000'0000);
  io_.wake();
  const std::uint64_t until = host::monotonic_now() + 10'000'000'000;
  while (io_.counters().bad_indices.load() == 0 && host::monotonic_now() < until) std::this_thread::yield();
  EXPECT_EQ(io_.counters().bad_indices.load(), 1U);
  EXPECT_EQ(rings.sq_head, 0x8000'0000U);
  CallSlot request = slot(Op::clock);
  request.token = 5;
  submit(request);
  ASSERT_TRUE(wait_for(1));
  EXPECT_EQ(rings.cq[0].token, 5U);
}

TEST_F(RingTest, PollsWaitEachForItsOwnFile) {
  int first[2];
  int second[2];
  ASSERT_EQ(pipe2(first, O_CLOEXEC), 0);
  ASSERT_EQ(pipe2(second, O_CLOEXEC), 0);
  const auto a = static_cast<std::uint64_t>(handles_.add(first[0]));
  const auto b = static_cast<std::uint64_t>(handles_.add(second[0]));
  CallSlot request = slot(Op::poll, a, POLLIN, ~std::uint64_t{0});
  request.token = 1;
  submit(request);
  request = slot(Op::poll, b, POLLIN, ~std::uint64_t{0});
  request.token = 2;
  submit(request);
  request = slot(Op::poll, a, POLLIN, 5'000'000);
  request.token = 3;
  submit(request);
  ASSERT_TRUE(wait_for(1));  // the one with a timeout
  host_abi::Rings& rings = memory_.rings();
  EXPECT_EQ(rings.cq[0].token, 3U);
  EXPECT_EQ(rings.cq[0].result, 0);
  ASSERT_EQ(write(second[1], "x", 1), 1);
  ASSERT_TRUE(wait_for(2));
  EXPECT_EQ(rings.cq[1].token, 2U);
  EXPECT_EQ(rings.cq[1].result, POLLIN);
  close(first[1]);
  ASSERT_TRUE(wait_for(3));
  EXPECT_EQ(rings.cq[2].token, 1U);
  EXPECT_EQ(rings.cq[2].result, POLLHUP);
  close(second[1]);
}

TEST_F(RingTest, WritesToAFullPipeWaitForRoom) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  ASSERT_GT(fcntl(ends[1], F_SETPIPE_SZ, 4096), 0);
  const auto handle = static_cast<std::uint64_t>(handles_.add(ends[1]));
  for (std::uint64_t i = 0; i < 2; ++i) {
    CallSlot request = slot(Op::write, handle, 0, 0, 4096);
    request.token = i;
    submit(request);
  }
  ASSERT_TRUE(wait_for(1));
  EXPECT_EQ(memory_.rings().cq[0].result, 4096);
  std::this_thread::sleep_for(std::chrono::milliseconds(2));
  EXPECT_EQ(memory_.rings().cq_tail, 1U);
  std::vector<char> drain(4096);
  ASSERT_EQ(read(ends[0], drain.data(), drain.size()), 4096);
  ASSERT_TRUE(wait_for(2));
  EXPECT_EQ(memory_.rings().cq[1].result, 4096);
  close(ends[0]);
}

}  // namespace
