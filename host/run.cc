#include "host/run.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <future>
#include <mutex>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "host/calls.h"
#include "host/clock.h"
#include "host/cpuid_table.h"
#include "host/emulator_device.h"
#include "host/futex.h"
#include "host/handles.h"
#include "host/hardware_device.h"
#include "host/io_thread.h"
#include "host/loader.h"
#include "host/shared_memory.h"
#include "host/signals.h"
#include "host/stats.h"
#include "host/terminal.h"
#include "host/vcpu.h"
#include "sgx/enclave_file.h"

namespace host {
namespace {

// The image file, mapped read-only. Pages come from the page cache when the kernel copies them.
class MappedImage {
 public:
  static Result<MappedImage> open(const std::string& path, bool from_instance) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
      const bool unbuilt = errno == ENOENT && from_instance;
      return fail(errno, "{}: {}{}", path, errno_text(errno), unbuilt ? " (run `occlum build` first)" : "");
    }
    struct stat status = {};
    const bool known = fstat(fd, &status) == 0;
    if (!known || !S_ISREG(status.st_mode) || status.st_size == 0) {
      close(fd);
      return fail(EINVAL, "{}: not an image file", path);
    }
    const auto size = static_cast<std::size_t>(status.st_size);
    void* const at = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
    const int error = errno;
    close(fd);
    if (at == MAP_FAILED) return fail(error, "{}: cannot be mapped: {}", path, errno_text(error));
    MappedImage image;
    image.bytes_ = {static_cast<const std::byte*>(at), size};
    return image;
  }
  MappedImage(MappedImage&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}
  MappedImage& operator=(MappedImage&&) = delete;
  ~MappedImage() {
    if (!bytes_.empty()) munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
  }
  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  MappedImage() = default;
  std::span<const std::byte> bytes_;
};

// A small file of the host, or nothing. The kernel checks it.
std::string read_small_file(const char* path) {
  constexpr std::size_t kLimit = 64 * 1024;
  std::string text;
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return text;
  text.resize(kLimit);
  const ssize_t length = read(fd, text.data(), text.size());
  text.resize(length > 0 ? static_cast<std::size_t>(length) : 0);
  close(fd);
  return text;
}

BootStrings boot_strings(const RunOptions& options) {
  BootStrings strings;
  strings.argv = options.argv;
  strings.environment = options.environment;
  strings.resolv_conf = read_small_file("/etc/resolv.conf");
  strings.hosts = read_small_file("/etc/hosts");
  char name[256] = {};
  if (gethostname(name, sizeof(name) - 1) == 0) strings.hostname = name;
  return strings;
}

std::uint32_t online_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return 1;
  return std::max(1U, static_cast<std::uint32_t>(CPU_COUNT(&set)));
}

std::uint32_t vcpu_count(const RunOptions& options, std::size_t tcs_count) {
  const std::uint32_t count = options.vcpus != 0 ? options.vcpus : online_cpus();
  return std::min({count, static_cast<std::uint32_t>(tcs_count), host_abi::kMaxVcpus});
}

// Lines from the kernel go to stderr; level 6 is kept for --stats.
class KernelLog {
 public:
  void add(std::uint64_t level, std::string_view text) {
    constexpr std::uint64_t kStatistics = 6;
    const std::lock_guard lock(mutex_);
    if (level == kStatistics) {
      statistics_ += text;
      return;
    }
    std::string line = fmt::format("occlum: {}", text);
    if (!line.ends_with('\n')) line += '\n';
    [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, line.data(), line.size());
  }
  std::string statistics() {
    const std::lock_guard lock(mutex_);
    return statistics_;
  }

 private:
  std::mutex mutex_;
  std::string statistics_;  // guarded by mutex_
};

struct Loaded {
  std::unique_ptr<EnclaveDevice> device;
  LoadedEnclave enclave;
};

Result<Loaded> load(const RunOptions& options, std::unique_ptr<EnclaveDevice> device) {
  const std::string path = options.enclave.empty() ? options.instance + "/build/enclave.bin" : options.enclave;
  if (options.enclave.empty() && access(path.c_str(), F_OK) != 0 && errno == ENOENT) {
    return fail(ENOENT, "{}: {} (run `occlum build` first)", path, errno_text(ENOENT));
  }
  const auto file = sgx::EnclaveFile::open(path);
  if (!file) return fail(EINVAL, "{}", file.error().message);
  const bool edmm = (file->config_header().flags & host_abi::kConfigEdmm) != 0;
  if (device == nullptr) {
    auto chosen = choose_device(options, edmm);
    if (!chosen) return std::unexpected(chosen.error());
    device = std::move(*chosen);
  }
  auto enclave = load_enclave(*file, *device, {options.config_id, options.config_svn});
  if (!enclave) return std::unexpected(enclave.error());
  return Loaded{std::move(device), std::move(*enclave)};
}

// Everything that serves one running enclave.
class Instance {
 public:
  Instance(const RunOptions& options, Loaded loaded, MappedImage image, SharedMemory memory, ClockSource& clock,
           std::uint64_t started)
      : options_(options),
        loaded_(std::move(loaded)),
        image_(std::move(image)),
        memory_(std::move(memory)),
        clock_(clock),
        started_(started),
        handles_(options.stdio[0], options.stdio[1], options.stdio[2]),
        vcpus_({*loaded_.device, memory_, clock_, loaded_.enclave.tcs, nullptr, [this] { io_.wake(); }}),
        calls_({*loaded_.device, handles_, clock_, vcpus_, memory_.arena(),
                [this](std::uint64_t level, std::string_view text) { log_.add(level, text); }}),
        io_(memory_.rings(), calls_, [this] { vcpus_.completions_arrived(); }) {
    vcpus_.set_calls(calls_);
  }

  Result<int> run();

 private:
  Result<int> finish(const Outcome& outcome);
  void print_stats(std::uint64_t load_ns, std::uint64_t run_ns);

  const RunOptions& options_;
  Loaded loaded_;
  MappedImage image_;
  SharedMemory memory_;
  ClockSource& clock_;
  const std::uint64_t started_;
  HandleTable handles_;
  KernelLog log_;
  VcpuSet vcpus_;
  HostCalls calls_;
  IoThread io_;
};

// A thread hangs in the enclave and uses this object's memory: nothing may be taken down any more.
[[noreturn]] void leave_now(const Result<int>& result) {
  constexpr int kRuntimeFailed = 125;
  const std::string line = result ? "" : fmt::format("occlum: {}\n", result.error().message);
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, line.data(), line.size());
  _exit(result.value_or(kRuntimeFailed));
}

Result<int> Instance::run() {
  host_abi::BootBlock& boot = memory_.boot();
  boot.image = reinterpret_cast<std::uintptr_t>(image_.bytes().data());
  boot.image_size = image_.bytes().size();
  clock_.publish_to(memory_.clock());

  TerminalGuard terminal;
  std::optional<SignalForwarder> signals;
  if (options_.forward_signals) {
    signals.emplace();
    const Status watching = signals->start(&memory_.user_signal(), [this] { vcpus_.deliver_signal(); });
    if (!watching) return std::unexpected(watching.error());
  }
  if (const Status serving = io_.start(); !serving) return std::unexpected(serving.error());
  const std::uint64_t entered = monotonic_now();
  if (const Status running = vcpus_.start(); !running) return std::unexpected(running.error());
  const Outcome outcome = vcpus_.wait();
  const std::uint64_t ended = monotonic_now();
  if (signals) signals->stop();
  const bool stopped = vcpus_.stop();
  if (options_.stats) print_stats(entered - started_, ended - entered);
  Result<int> result = finish(outcome);
  if (!stopped) {
    terminal.restore();
    leave_now(result);
  }
  return result;
}

void Instance::print_stats(std::uint64_t load_ns, std::uint64_t run_ns) {
  const RunStats stats = {.device = std::string(loaded_.device->name()),
                          .machine = loaded_.device->counters(),
                          .vcpus = vcpus_.counters(),
                          .calls = &calls_.counters(),
                          .io = &io_.counters(),
                          .ticks_sent = vcpus_.ticks_sent(),
                          .load_ns = load_ns,
                          .run_ns = run_ns,
                          .kernel = log_.statistics()};
  const std::string text = format_stats(stats);
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, text.data(), text.size());
}

Result<int> Instance::finish(const Outcome& outcome) {
  switch (outcome.kind) {
    case Outcome::Kind::shutdown: return outcome.status;
    case Outcome::Kind::panic: return fail(0, "the kernel in the enclave panicked ({:#x})", outcome.detail);
    case Outcome::Kind::crashed: break;
  }
  return fail(0, "{}", outcome.message);
}

void announce(const RunOptions& options, const EnclaveDevice& device) {
  if (options.quiet) return;
  const bool hardware = device.name() == "SGX hardware";
  const std::string line = hardware ? std::string("occlum: running on SGX hardware\n")
                                    : fmt::format("occlum: running on {}: no protection against the host\n", device.name());
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace

Result<SgxMode> parse_sgx_mode(std::string_view text) {
  if (text.empty()) return SgxMode::automatic;
  if (text == "HW") return SgxMode::hardware;
  if (text == "SIM") return SgxMode::simulation;
  return fail(EINVAL, "SGX_MODE={}: expected HW or SIM", text);
}

Result<EmulatorMode> parse_emulator_mode(std::string_view text) {
  if (text.empty() || text == "fast") return EmulatorMode::fast;
  if (text == "strict") return EmulatorMode::strict;
  return fail(EINVAL, "OCCLUM_EMULATOR={}: expected fast or strict", text);
}

Result<std::unique_ptr<EnclaveDevice>> choose_device(const RunOptions& options, bool edmm, std::unique_ptr<DriverCalls> calls) {
  if (options.mode != SgxMode::simulation) {
    if (calls == nullptr) calls = std::make_unique<LinuxDriverCalls>();
    auto hardware = HardwareDevice::open(std::move(calls));
    if (hardware) return std::unique_ptr<EnclaveDevice>(std::move(*hardware));
    if (options.mode == SgxMode::hardware) return std::unexpected(hardware.error());
  }
  emulator::Options emulated;
  emulated.mode = options.emulator == EmulatorMode::fast ? emulator::Mode::fast : emulator::Mode::strict;
  emulated.assertions = options.emulator_assertions;
  emulated.sgx2 = edmm;
  return std::unique_ptr<EnclaveDevice>(std::make_unique<EmulatorDevice>(emulated));
}

Result<int> run_program(const RunOptions& options, std::unique_ptr<EnclaveDevice> device) {
  const std::uint64_t started = monotonic_now();
  ClockSource clock;  // its measurement of the TSC's rate runs while the enclave is loaded
  if (options.argv.empty()) return fail(EINVAL, "no program was named");
  // Half a millisecond where CPUID is trapped, as in virtual machines: on another processor while this one loads. (If there can be no
  // thread, it is read where it is needed.)
  std::future<std::vector<host_abi::CpuidEntry>> cpuid = std::async(&read_cpuid_table);
  auto loaded = load(options, std::move(device));
  if (!loaded) return std::unexpected(loaded.error());
  const bool from_instance = options.image.empty();
  auto image = MappedImage::open(from_instance ? options.instance + "/build/image.bin" : options.image, from_instance);
  if (!image) return std::unexpected(image.error());
  auto memory = SharedMemory::create(vcpu_count(options, loaded->enclave.tcs.size()), options.log_level,
                                     options.stats ? host_abi::kBootStats : 0, boot_strings(options), cpuid.get());
  if (!memory) return std::unexpected(memory.error());
  announce(options, *loaded->device);
  Instance instance(options, std::move(*loaded), std::move(*image), std::move(*memory), clock, started);
  return instance.run();
}

}  // namespace host
