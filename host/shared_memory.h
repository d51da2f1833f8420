// The memory that the runtime shares with the enclave: boot block, per-vCPU words, rings, clock page, bounce arena. One anonymous
// mapping outside ELRANGE. The enclave reads and writes it at any time, so plain fields may be touched only before the first
// entry; afterwards through std::atomic_ref.
#ifndef HOST_SHARED_MEMORY_H
#define HOST_SHARED_MEMORY_H

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "host/cpuid_table.h"
#include "host/result.h"
#include "host_abi/entry.h"

namespace host {

// An atomic view of a shared word.
template <class T>
std::atomic_ref<T> shared(T& word) {
  return std::atomic_ref<T>(word);
}

// What BootBlock carries as text.
struct BootStrings {
  std::vector<std::string> argv;  // [0] is the program
  std::vector<std::string> environment;
  std::string resolv_conf;
  std::string hosts;
  std::string hostname;
};

class SharedMemory {
 public:
  static constexpr std::uint64_t kArenaSize = 16U << 20;

  // Maps and fills everything except the image fields. Errors: no memory, a string with a NUL inside.
  static Result<SharedMemory> create(std::uint32_t vcpu_count, std::uint32_t log_level, std::uint32_t flags, const BootStrings& strings,
                                     const std::vector<host_abi::CpuidEntry>& cpuid = read_cpuid_table());
  SharedMemory(SharedMemory&& other) noexcept;
  SharedMemory& operator=(SharedMemory&& other) noexcept;
  ~SharedMemory();

  host_abi::BootBlock& boot() const { return *boot_; }
  host_abi::VcpuBlock& vcpu(std::uint32_t index) const { return vcpus_[index]; }  // index < vcpu_count()
  std::uint32_t vcpu_count() const { return vcpu_count_; }
  host_abi::Rings& rings() const { return *rings_; }
  host_abi::ClockPage& clock() const { return *clock_; }
  std::uint64_t& user_signal() const { return *user_signal_; }
  std::span<std::byte> arena() const { return arena_; }
  std::span<std::byte> all() const { return memory_; }

 private:
  SharedMemory() = default;
  void release();

  std::span<std::byte> memory_;
  std::span<std::byte> arena_;
  host_abi::BootBlock* boot_ = nullptr;
  host_abi::VcpuBlock* vcpus_ = nullptr;
  host_abi::Rings* rings_ = nullptr;
  host_abi::ClockPage* clock_ = nullptr;
  std::uint64_t* user_signal_ = nullptr;
  std::uint32_t vcpu_count_ = 0;
};

}  // namespace host
#endif  // HOST_SHARED_MEMORY_H
