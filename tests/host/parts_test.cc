// The parts of the runtime that need no enclave: vDSO search, driver calls, clock, handles, shared memory, terminal, statistics.
#include <elf.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <random>

#include "host/clock.h"
#include "host/driver_calls.h"
#include "host/futex.h"
#include "host/handles.h"
#include "host/sgx_error.h"
#include "host/shared_memory.h"
#include "host/stats.h"
#include "host/terminal.h"
#include "host/vdso.h"

namespace {

// ---- vDSO.

std::vector<std::byte> vdso_copy() {
  const auto* start = reinterpret_cast<const std::byte*>(getauxval(AT_SYSINFO_EHDR));
  Elf64_Ehdr header;
  std::memcpy(&header, start, sizeof(header));
  return {start, start + header.e_shoff + std::size_t{header.e_shnum} * header.e_shentsize};
}

TEST(Vdso, AKnownFunctionIsFoundAndWorks) {
  using Function = int (*)(clockid_t, timespec*);
  const auto function = reinterpret_cast<Function>(host::find_vdso_function("__vdso_clock_gettime"));
  ASSERT_NE(function, nullptr);
  timespec now = {};
  EXPECT_EQ(function(CLOCK_MONOTONIC, &now), 0);
  EXPECT_NE(now.tv_sec, 0);
  EXPECT_EQ(host::find_vdso_function("__vdso_no_such_function"), 0U);
  EXPECT_EQ(host::find_vdso_function("__vdso_clock_gettim"), 0U);
}

TEST(Vdso, DamagedImagesAreSearchedWithoutHarm) {
  const std::vector<std::byte> good = vdso_copy();
  ASSERT_NE(host::find_elf_function(good, "__vdso_clock_gettime"), 0U);
  EXPECT_EQ(host::find_elf_function({}, "x"), 0U);
  for (std::size_t size = 0; size < good.size(); size += 61) {
    host::find_elf_function(std::span(good).first(size), "__vdso_clock_gettime");
  }
  std::mt19937 random(7);
  for (int round = 0; round < 3000; ++round) {
    std::vector<std::byte> bad = good;
    for (int i = 0; i < 8; ++i) bad[random() % (i < 4 ? 0x400 : bad.size())] = static_cast<std::byte>(random());
    const std::uintptr_t found = host::find_elf_function(bad, "__vdso_clock_gettime");
    const auto base = reinterpret_cast<std::uintptr_t>(bad.data());
    EXPECT_TRUE(found == 0 || (found >= base && found < base + bad.size()));
  }
}

// ---- The real system calls.

TEST(LinuxDriverCalls, AnswerAsTheKernelDoes) {
  host::LinuxDriverCalls calls;
  EXPECT_EQ(calls.open("/nonexistent"), -ENOENT);
  const int fd = calls.open("/dev/null");
  ASSERT_GE(fd, 0);
  std::uint64_t argument = 0;
  EXPECT_EQ(calls.ioctl(fd, 0xa401, &argument), -ENOTTY);
  calls.close(fd);
  EXPECT_EQ(calls.ioctl(fd, 0xa401, &argument), -EBADF);

  void* const at = mmap(nullptr, 3 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(at, MAP_FAILED);
  const auto address = reinterpret_cast<std::uint64_t>(at);
  EXPECT_EQ(calls.map(address, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1), -EEXIST);
  EXPECT_EQ(calls.touch(address + 5), -EFAULT);
  EXPECT_EQ(calls.map(address, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1), 0);
  EXPECT_EQ(calls.touch(address + 5), 0);
  EXPECT_EQ(calls.touch(address + 4095), 0);
  EXPECT_EQ(calls.protect(address, 4096, PROT_NONE), 0);
  EXPECT_EQ(calls.touch(address), -EFAULT);
  EXPECT_EQ(calls.unmap(address, 3 * 4096), 0);
  EXPECT_EQ(calls.protect(address, 4096, PROT_READ), -ENOMEM);
  EXPECT_EQ(calls.touch(0), -EFAULT);
  EXPECT_EQ(calls.enclave_xfrm() & sgx::kXfrmLegacy, sgx::kXfrmLegacy);
  struct sigaction action = {};
  action.sa_handler = SIG_DFL;
  EXPECT_EQ(calls.signal_action(SIGUSR2, action), 0);
  EXPECT_EQ(calls.signal_action(SIGKILL, action), -EINVAL);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(calls.enter_function()), host::find_vdso_function("__vdso_sgx_enter_enclave"));
}

// ---- Clock.

TEST(Clock, SamplesAreConsistentAndPredictTheFuture) {
  alignas(64) host_abi::ClockPage page = {};
  host::ClockSource clock;
  clock.sample();  // nothing to write to yet
  clock.publish_to(page);
  EXPECT_EQ(page.seq, 2U);
  EXPECT_NE(page.realtime_ns, 0U);
  EXPECT_GE(page.boottime_ns + 1000, page.monotonic_ns);
  if (!clock.tsc_usable()) {
    EXPECT_EQ(page.tsc_hz, 0U);
    return;
  }
  ASSERT_NE(page.tsc_hz, 0U);
  timespec pause = {0, 100'000'000};
  nanosleep(&pause, nullptr);
  // 100 ms after a sample whose rate was measured over a millisecond. An interrupt between the two readings spoils a try.
  std::uint64_t tsc = 0;
  std::int64_t best = INT64_MAX;
  for (int i = 0; i < 50; ++i) {
    tsc = __rdtsc();
    const std::uint64_t now = host::monotonic_now();
    const auto ticks = static_cast<unsigned __int128>(tsc - page.tsc) * 1'000'000'000;
    const std::uint64_t predicted = page.monotonic_ns + static_cast<std::uint64_t>(ticks / page.tsc_hz);
    best = std::min(best, std::abs(static_cast<std::int64_t>(predicted - now)));
  }
  EXPECT_LT(best, 200'000);
  clock.sample();
  EXPECT_EQ(page.seq, 4U);
  EXPECT_GE(page.tsc, tsc);
}

// ---- Handles.

TEST(Handles, AreReusedAndKeptAliveByTheirUsers) {
  host::HandleTable table;
  EXPECT_EQ(table.get(3), nullptr);
  EXPECT_EQ(table.close(3), -EBADF);
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  EXPECT_EQ(table.add(ends[0]), 3);
  EXPECT_EQ(table.add(ends[1]), 4);
  const auto kept = table.get(3);
  EXPECT_EQ(table.close(3), 0);
  EXPECT_EQ(table.get(3), nullptr);
  EXPECT_NE(fcntl(kept->fd(), F_GETFD), -1);
  EXPECT_EQ(table.close(3), -EBADF);
  EXPECT_EQ(table.add(dup(ends[1])), 3);
  EXPECT_EQ(table.close(0), 0);
  EXPECT_NE(fcntl(0, F_GETFD), -1);  // the standard streams stay open
  EXPECT_EQ(table.get(~std::uint64_t{0}), nullptr);
}

// ---- Shared memory.

TEST(SharedMemory, HoldsWhatTheKernelIsTold) {
  host::BootStrings strings;
  strings.argv = {"/bin/x", "", "arg"};
  strings.environment = {"A=1"};
  strings.resolv_conf = "nameserver 1.2.3.4\n";
  strings.hostname = "name";
  auto made = host::SharedMemory::create(3, 2, host_abi::kBootStats, strings);
  ASSERT_TRUE(made);
  host::SharedMemory memory = std::move(*made);
  const host_abi::BootBlock& boot = memory.boot();
  EXPECT_EQ(boot.version, host_abi::kAbiVersion);
  EXPECT_EQ(boot.vcpu_count, 3U);
  EXPECT_EQ(boot.argc, 3U);
  EXPECT_EQ(boot.envc, 1U);
  const std::string expected("/bin/x\0\0arg\0A=1\0", 16);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(boot.strings), boot.strings_size), expected);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(boot.resolv_conf), boot.resolv_conf_size), strings.resolv_conf);
  EXPECT_EQ(boot.hosts_size, 0U);
  EXPECT_EQ(boot.arena % 4096, 0U);
  EXPECT_EQ(boot.arena_size, host::SharedMemory::kArenaSize);
  EXPECT_GT(boot.arena, std::uint64_t{1} << 46);  // outside every possible ELRANGE
  EXPECT_EQ(boot.vcpus % 128, 0U);
}

TEST(SharedMemory, BadInputIsRefused) {
  EXPECT_FALSE(host::SharedMemory::create(0, 0, 0, {}));
  EXPECT_FALSE(host::SharedMemory::create(host_abi::kMaxVcpus + 1, 0, 0, {}));
  host::BootStrings strings;
  strings.environment = {std::string("A\0B", 3)};
  EXPECT_FALSE(host::SharedMemory::create(1, 0, 0, strings));
}

// ---- Terminal.

TEST(Terminal, IsGivenBackAsItWas) {
  int master = -1;
  int terminal = -1;
  ASSERT_EQ(openpty(&master, &terminal, nullptr, nullptr, nullptr), 0);
  termios before = {};
  ASSERT_EQ(tcgetattr(terminal, &before), 0);
  const int saved = dup(STDIN_FILENO);
  dup2(terminal, STDIN_FILENO);
  {
    const host::TerminalGuard guard;
    termios raw = before;
    cfmakeraw(&raw);
    ASSERT_EQ(tcsetattr(terminal, TCSANOW, &raw), 0);
  }
  termios after = {};
  ASSERT_EQ(tcgetattr(terminal, &after), 0);
  EXPECT_EQ(after.c_lflag, before.c_lflag);
  EXPECT_EQ(after.c_oflag, before.c_oflag);
  { const host::TerminalGuard unchanged; }
  dup2(saved, STDIN_FILENO);
  for (const int fd : {saved, master, terminal}) close(fd);
}

// ---- Statistics.

TEST(Stats, ProjectedCostAddsUp) {
  host::DeviceCounters machine;
  machine.eenter = 2;
  machine.eexit = 1;
  machine.aex_interrupt = 1;
  machine.aex_cpuid = 1;
  machine.pages_added = 10;
  machine.pages_augmented = 1;
  machine.pages_removed = 1;
  machine.eaccept = 1;
  machine.egetkey = 1;
  const host::ProjectedCost cost = host::project_cost(machine);
  EXPECT_EQ(cost.load_cycles, 230'000U);
  EXPECT_EQ(cost.run_cycles, 2 * 3800U + 3300 + 7100 + 20742 + 10000 + 5000 + 3000 + 10000);
}

TEST(Stats, OnlyWhatHappenedIsListed) {
  host::RunStats stats;
  stats.device = "test";
  stats.vcpus.exits[1] = 5;
  host::CallCounters calls;
  calls.synchronous[static_cast<std::size_t>(host_abi::Op::write)] = 4;
  calls.asynchronous[static_cast<std::size_t>(host_abi::Op::close_handle)] = 3;
  stats.calls = &calls;
  const std::string text = host::format_stats(stats);
  EXPECT_NE(text.find("host_call                    5"), std::string::npos) << text;
  EXPECT_NE(text.find("write                        4"), std::string::npos);
  EXPECT_NE(text.find("close                        3"), std::string::npos);
  EXPECT_EQ(text.find("EGETKEY"), std::string::npos);
  EXPECT_EQ(text.back(), '\n');
}

TEST(SgxError, HasWords) {
  EXPECT_NE(host::describe_sgx_error(sgx::SgxError::invalid_signature).find("8 (INVALID_SIGNATURE"), std::string::npos);
  EXPECT_NE(host::describe_sgx_error(static_cast<sgx::SgxError>(77)).find("77"), std::string::npos);
}

}  // namespace
