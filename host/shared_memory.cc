#include "host/shared_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace host {
namespace {

constexpr std::uint64_t kPage = 4096;

std::uint64_t round_up(std::uint64_t value) { return (value + kPage - 1) & ~(kPage - 1); }

std::uint64_t address_of(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer); }

Result<std::string> join(const BootStrings& strings) {
  std::string text;
  for (const auto* list : {&strings.argv, &strings.environment}) {
    for (const std::string& item : *list) {
      if (item.find('\0') != std::string::npos) return fail(EINVAL, "an argument or environment variable contains a NUL byte");
      text += item;
      text += '\0';
    }
  }
  return text;
}

// Cuts pieces off a mapping, each on a page of its own so that no two parts share a cache line.
class Cutter {
 public:
  explicit Cutter(std::span<std::byte> memory) : rest_(memory) {}
  template <class T>
  T* take(std::uint64_t count = 1) {
    return reinterpret_cast<T*>(bytes(sizeof(T) * count).data());
  }
  std::span<std::byte> bytes(std::uint64_t size) {
    const std::span<std::byte> piece = rest_.first(size);
    rest_ = rest_.subspan(round_up(size));
    return piece;
  }
  // Copies `text` and returns where it stands.
  std::uint64_t text(std::string_view text) {
    const std::span<std::byte> piece = bytes(text.size());
    if (!text.empty()) std::memcpy(piece.data(), text.data(), text.size());
    return address_of(piece.data());
  }

 private:
  std::span<std::byte> rest_;
};

}  // namespace

Result<SharedMemory> SharedMemory::create(std::uint32_t vcpu_count, std::uint32_t log_level, std::uint32_t flags, const BootStrings& strings,
                                          const std::vector<host_abi::CpuidEntry>& cpuid) {
  const Result<std::string> joined = join(strings);
  if (!joined) return std::unexpected(joined.error());
  if (vcpu_count == 0 || vcpu_count > host_abi::kMaxVcpus) return fail(EINVAL, "{} virtual CPUs asked for", vcpu_count);
  std::uint64_t size = kArenaSize;
  for (const std::uint64_t part :
       {sizeof(host_abi::BootBlock), sizeof(host_abi::VcpuBlock) * vcpu_count, sizeof(host_abi::Rings),
        sizeof(host_abi::ClockPage), sizeof(std::uint64_t), joined->size(), strings.resolv_conf.size(), strings.hosts.size(),
        strings.hostname.size(), cpuid.size() * sizeof(host_abi::CpuidEntry)}) {
    size += round_up(part);
  }
  void* const at = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) return fail(errno, "cannot map {} bytes for the enclave's shared memory: {}", size, errno_text(errno));

  SharedMemory memory;
  memory.memory_ = {static_cast<std::byte*>(at), size};
  memory.vcpu_count_ = vcpu_count;
  Cutter cutter(memory.memory_);
  memory.boot_ = cutter.take<host_abi::BootBlock>();
  memory.vcpus_ = cutter.take<host_abi::VcpuBlock>(vcpu_count);
  memory.rings_ = cutter.take<host_abi::Rings>();
  memory.clock_ = cutter.take<host_abi::ClockPage>();
  memory.user_signal_ = cutter.take<std::uint64_t>();
  host_abi::BootBlock& boot = *memory.boot_;
  boot.version = host_abi::kAbiVersion;
  boot.vcpu_count = vcpu_count;
  boot.vcpus = address_of(memory.vcpus_);
  boot.rings = address_of(memory.rings_);
  boot.clock = address_of(memory.clock_);
  boot.user_signal = address_of(memory.user_signal_);
  boot.log_level = log_level;
  boot.flags = flags;
  boot.argc = static_cast<std::uint32_t>(strings.argv.size());
  boot.envc = static_cast<std::uint32_t>(strings.environment.size());
  boot.strings = cutter.text(*joined);
  boot.strings_size = joined->size();
  boot.resolv_conf = cutter.text(strings.resolv_conf);
  boot.resolv_conf_size = strings.resolv_conf.size();
  boot.hosts = cutter.text(strings.hosts);
  boot.hosts_size = strings.hosts.size();
  boot.hostname = cutter.text(strings.hostname);
  boot.hostname_size = strings.hostname.size();
  auto* const answers = cutter.take<host_abi::CpuidEntry>(static_cast<std::uint32_t>(cpuid.size()));
  std::ranges::copy(cpuid, answers);
  boot.cpuid = address_of(answers);
  boot.cpuid_count = cpuid.size();
  memory.arena_ = cutter.bytes(kArenaSize);
  boot.arena = address_of(memory.arena_.data());
  boot.arena_size = kArenaSize;
  return memory;
}

SharedMemory::SharedMemory(SharedMemory&& other) noexcept { *this = std::move(other); }

SharedMemory& SharedMemory::operator=(SharedMemory&& other) noexcept {
  if (this == &other) return *this;
  release();
  memory_ = std::exchange(other.memory_, {});
  arena_ = std::exchange(other.arena_, {});
  boot_ = std::exchange(other.boot_, nullptr);
  vcpus_ = std::exchange(other.vcpus_, nullptr);
  rings_ = std::exchange(other.rings_, nullptr);
  clock_ = std::exchange(other.clock_, nullptr);
  user_signal_ = std::exchange(other.user_signal_, nullptr);
  vcpu_count_ = std::exchange(other.vcpu_count_, 0);
  return *this;
}

SharedMemory::~SharedMemory() { release(); }

void SharedMemory::release() {
  if (!memory_.empty()) munmap(memory_.data(), memory_.size());
  memory_ = {};
}

}  // namespace host
