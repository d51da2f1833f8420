// The hostile entry test: runs a program in the enclave while the host attacks it, once per seed, each in a process of its own.
//
//   hostile_test --enclave FILE --image FILE [--first SEED] [--count N] [--jobs N] [--verbose]
//
// Allowed: the program ends rightly; the enclave stops with a clear error; the program ends because the host denied it something. Never: a
// kernel panic, wrong memory or registers (the program checks), a crash of the host process (an escape), a changed canary, a hang. A seed
// that fails is printed; `--first SEED --count 1 --verbose` repeats it.
#include <CLI/CLI.hpp>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "host/futex.h"
#include "host/run.h"
#include "sgx/enclave_file.h"
#include "tests/hostile/hostile_device.h"

namespace {

using hostile::Plan;

struct Options {
  std::string enclave, image;
  std::uint64_t first = 1, count = 500;
  unsigned jobs = 2;
  unsigned deadline_s = 60;
  bool verbose = false;
};

// Exit statuses of the program, and of a runtime that failed.
enum ExitStatus : int { kExitWant = 3, kExitFault = 4, kExitRuntime = 125 };

enum Verdict : int { kRight = 0, kStopped = 10, kDenied = 11, kWrong = 20, kPanic = 21, kCanary = 22 };

// Memory of the host that no enclave has any business in, some of it right behind ELRANGE.
class Canary {
 public:
  explicit Canary(std::uint64_t elrange_end) {
    for (const std::uint64_t at : {elrange_end, std::uint64_t{0}}) {
      void* const wanted = reinterpret_cast<void*>(at);
      void* const got = mmap(wanted, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | (at != 0 ? MAP_FIXED_NOREPLACE : 0), -1, 0);
      if (got == MAP_FAILED) continue;
      std::memset(got, 0xa5, kSize);
      pieces_.push_back(static_cast<const unsigned char*>(got));
    }
  }
  bool intact() const {
    return std::ranges::all_of(pieces_, [](const unsigned char* at) { return std::all_of(at, at + kSize, [](unsigned char c) { return c == 0xa5; }); });
  }

 private:
  static constexpr std::size_t kSize = 1 << 20;
  std::vector<const unsigned char*> pieces_;
};

std::string read_all(int fd) {
  std::string text(4096, '\0');
  const ssize_t size = pread(fd, text.data(), text.size(), 0);
  text.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
  return text;
}

// In the child: the whole run.
Verdict run_seed(const Options& options, const sgx::EnclaveFile& file, std::uint64_t seed) {
  const Plan plan = Plan::from_seed(seed);
  const Canary canary(file.layout().elrange_size);
  emulator::Options emulated;
  // Junk in registers and flags comes from the emulator's assertions, which need its trapping entries.
  emulated.assertions = seed % 3 == 0;
  emulated.mode = seed % 6 == 0 ? emulator::Mode::strict : emulator::Mode::fast;
  auto device = std::make_unique<hostile::HostileDevice>(emulated, plan, file.layout());
  host::RunOptions run;
  run.enclave = options.enclave;
  run.image = options.image;
  run.argv = {"/bin/victim"};
  run.quiet = true;
  run.forward_signals = false;
  run.log_level = 2;
  run.vcpus = 2 + static_cast<std::uint32_t>(seed % 2);
  const int out = memfd_create("output", MFD_CLOEXEC);
  run.stdio[1] = out;
  const auto result = host::run_program(run, std::move(device));
  const std::string text = read_all(out);
  if (!canary.intact()) {
    std::fprintf(stderr, "the canary in host memory has changed\n");
    return kCanary;
  }
  if (!result) {
    std::fprintf(stderr, "stopped: %s\n", result.error().message.c_str());
    return result.error().message.find("panicked") != std::string::npos ? kPanic : kStopped;
  }
  std::fprintf(stderr, "exit status %d\n", *result);
  // What the host says about a write decides how often it is repeated: then only the status counts.
  const bool output_counts = (plan.kinds & hostile::kDeniesService) == 0;
  if (*result == 0) return !output_counts || text == "begins\nall held 120\n" ? kRight : kWrong;
  const bool denied = *result == kExitWant || *result == kExitFault || *result >= kExitRuntime;
  return denied && (plan.kinds & hostile::kDeniesService) != 0 ? kDenied : kWrong;
}

struct Job {
  pid_t pid = 0;
  std::uint64_t seed = 0;
  std::uint64_t deadline = 0;
  int log = -1;
};

class Runner {
 public:
  Runner(const Options& options, const sgx::EnclaveFile& file) : options_(options), file_(file) {}
  int run();

 private:
  Job start(std::uint64_t seed);
  bool finish(Job& job);

  const Options& options_;
  const sgx::EnclaveFile& file_;
  std::map<std::string, std::uint64_t> outcomes_;
  std::uint64_t bad_ = 0;
};

Job Runner::start(std::uint64_t seed) {
  Job job{.seed = seed, .deadline = host::monotonic_now() + std::uint64_t{options_.deadline_s} * 1'000'000'000, .log = memfd_create("log", MFD_CLOEXEC)};
  job.pid = fork();
  if (job.pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const int null = open("/dev/null", O_RDONLY);
    dup2(null, 0);
    dup2(job.log, 2);
    _exit(run_seed(options_, file_, seed));
  }
  return job;
}

// False: it still runs.
bool Runner::finish(Job& job) {
  int status = 0;
  const pid_t got = waitpid(job.pid, &status, WNOHANG);
  const bool late = got == 0 && host::monotonic_now() > job.deadline;
  if (got == 0 && !late) return false;
  if (late) {
    if (options_.verbose) std::printf("seed %llu: process %d hangs and is left for a debugger\n", static_cast<unsigned long long>(job.seed), job.pid);
    if (!options_.verbose) kill(job.pid, SIGKILL);
    waitpid(job.pid, &status, 0);
  }
  std::string what = "died";
  if (late) what = "HANG";
  else if (WIFSIGNALED(status)) what = fmt::format("HOST CRASH (signal {})", WTERMSIG(status));
  else
    switch (WEXITSTATUS(status)) {
      case kRight: what = "right"; break;
      case kStopped: what = "stopped"; break;
      case kDenied: what = "denied"; break;
      case kWrong: what = "WRONG"; break;
      case kPanic: what = "PANIC"; break;
      case kCanary: what = "CANARY"; break;
      // The runtime left threads behind that it could not stop, and ended the process with the program's status or its own.
      case kExitWant:
      case kExitFault:
      case kExitRuntime: what = "left behind"; break;
      default: what = fmt::format("HOST EXIT {}", WEXITSTATUS(status)); break;
    }
  ++outcomes_[what];
  const bool bad = what != "right" && what != "stopped" && what != "denied" && what != "left behind";
  bad_ += bad ? 1 : 0;
  if (bad || options_.verbose) {
    const Plan plan = Plan::from_seed(job.seed);
    std::printf("seed %llu: %s (kinds %#x, rarity %llu, from %llu us for %llu us)\n%s", static_cast<unsigned long long>(job.seed), what.c_str(), plan.kinds,
                static_cast<unsigned long long>(plan.rarity), static_cast<unsigned long long>(plan.first_us),
                static_cast<unsigned long long>(plan.length_us), read_all(job.log).c_str());
    std::fflush(stdout);
  }
  close(job.log);
  return true;
}

int Runner::run() {
  std::vector<Job> jobs;
  std::uint64_t next = options_.first;
  const std::uint64_t end = options_.first + options_.count;
  while (next < end || !jobs.empty()) {
    while (next < end && jobs.size() < options_.jobs) jobs.push_back(start(next++));
    std::erase_if(jobs, [&](Job& job) { return finish(job); });
    const timespec pause = {0, 2'000'000};
    nanosleep(&pause, nullptr);
  }
  for (const auto& [what, count] : outcomes_) std::printf("%s: %llu\n", what.c_str(), static_cast<unsigned long long>(count));
  // A test in which nothing survives shows little.
  const bool enough = options_.count < 50 || outcomes_["right"] * 4 >= options_.count;
  if (!enough) std::printf("too few programs came to their end\n");
  return bad_ == 0 && enough ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("Attacks an enclave, seed by seed.");
  app.add_option("--enclave", options.enclave)->required();
  app.add_option("--image", options.image)->required();
  app.add_option("--first", options.first);
  app.add_option("--count", options.count);
  app.add_option("--jobs", options.jobs);
  app.add_option("--deadline", options.deadline_s, "seconds until a run counts as hanging");
  app.add_flag("--verbose", options.verbose);
  CLI11_PARSE(app, argc, argv);
  const auto file = sgx::EnclaveFile::open(options.enclave);
  if (!file) {
    std::fprintf(stderr, "%s\n", file.error().message.c_str());
    return 2;
  }
  return Runner(options, *file).run();
}
