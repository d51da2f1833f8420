// An EnclaveDevice that attacks the enclave which it runs: a wrapper round the emulator's, so that everything else is the product's runtime.
// All that it does follows from a seed, as far as threads allow.
#ifndef TESTS_HOSTILE_HOSTILE_DEVICE_H
#define TESTS_HOSTILE_HOSTILE_DEVICE_H

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "host/emulator_device.h"
#include "host/entry.h"
#include "host_abi/entry.h"
#include "host_abi/kernel_layout.h"

namespace hostile {

// Kinds of attacks; a seed chooses some.
enum Kind : std::uint32_t {
  kEntries = 1,    // the handler is entered without need, twice, and at CSSA 2; registers hold junk
  kGuests = 2,     // another thread enters TCSs that are busy, idle, in a call, not started
  kPresence = 4,   // pages of kernel and program vanish from the page tables for a while
  kTicks = 8,      // interrupts are dropped, repeated, sent in bursts
  kWords = 16,     // pending bits, idle words, clock values, signals
  kResults = 32,   // results of synchronous calls
  kRing = 64,      // completions: tokens, results, indices
  kPages = 128,    // EDMM calls that fail, do less or say that they did
  kBoot = 256,     // the boot block
  kKinds = 9,
};
// What makes a program fail in a way that it can see, rightly: calls of the host that fail.
inline constexpr std::uint32_t kDeniesService = kGuests | kResults | kRing | kPages | kBoot | kPresence;

class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15 | 1) {}
  std::uint64_t next();
  std::uint64_t below(std::uint64_t n) { return (next() >> 20) % n; }
  bool one_in(std::uint64_t n) { return below(n) == 0; }

 private:
  std::uint64_t state_;
};

struct Plan {
  std::uint64_t seed = 0;
  std::uint32_t kinds = 0;
  std::uint64_t rarity = 4;        // one in so many chances is taken
  std::uint64_t first_us = 0;      // the attack begins so long after the first entry
  std::uint64_t length_us = 0;     // and ends after this, so that what still hangs then hangs for good
  static Plan from_seed(std::uint64_t seed);
};

class HostileDevice final : public host::EnclaveDevice {
 public:
  HostileDevice(const emulator::Options& options, const Plan& plan, const host_abi::KernelLayout& layout);
  ~HostileDevice() override;

  std::string_view name() const override { return real_.name(); }
  std::uint64_t supported_xfrm() const override { return real_.supported_xfrm(); }
  bool has_edmm() const override { return real_.has_edmm(); }
  host::Status create(const sgx::Secs& secs) override { return real_.create(secs); }
  host::Status add_pages(const host::PageBatch& batch) override { return real_.add_pages(batch); }
  host::Status init(const sgx::Sigstruct& sigstruct) override;
  int augment(std::uint64_t offset, std::uint64_t length) override;
  int restrict_permissions(std::uint64_t offset, std::uint64_t length, std::uint64_t permissions) override;
  int modify_types(std::uint64_t offset, std::uint64_t length, sgx::PageType type) override;
  int remove_pages(std::uint64_t offset, std::uint64_t length) override;
  sgx::EnterFunction enter_function() const override;
  host::Status begin_thread() override;
  void end_thread() override;  // the last one: nothing is touched any more
  host::Status install_signal(int signal, SignalHandler handler) override;
  bool is_at_aep(const ucontext_t& context, std::uint64_t tcs) const override { return real_.is_at_aep(context, tcs); }
  host::DeviceCounters counters() const override { return real_.counters(); }

  // How often each kind was done, for the report.
  std::string tally() const;

 private:
  static constexpr std::size_t kMostTcs = 8;
  // One TCS. `lock` is held by the thread that is inside or about to enter, so that a guest knows what it does.
  struct Tcs {
    std::uint64_t address = 0;
    std::atomic<std::uint32_t> lock = 0;
    // A guest that wants to find the TCS busy says so first and looks whether a thread is in; who comes out waits for guests before it goes
    // in again. Without that the owner could resume what a guest was interrupted in, on the guest's stack.
    std::atomic<std::uint32_t> visitors = 0;
    std::atomic<std::uint32_t> kept = 0;  // a guest took an exit that the owner has to serve
    std::uint64_t kept_rdi = 0, kept_rsi = 0, kept_rdx = 0;
    std::atomic<std::int32_t> owner = 0;  // thread id
    std::atomic<std::uint64_t> last_exit = 0;
  };

  static int enter(std::uint64_t rdi, std::uint64_t rsi, std::uint64_t rdx, std::uint32_t function, std::uint64_t r8, std::uint64_t r9,
                   sgx::EnclaveRun* run);
  static void on_signal(int signal, siginfo_t* info, ucontext_t* context);
  static int plain_enter(std::uint64_t rdi, std::uint64_t rsi, std::uint64_t rdx, std::uint32_t function, std::uint64_t r8, std::uint64_t r9,
                         sgx::EnclaveRun* run);
  static void leave_to(Tcs& tcs);
  int enter_real(Tcs& tcs, std::uint64_t rdi, std::uint64_t rsi, std::uint64_t rdx, std::uint32_t function, std::uint64_t r8, std::uint64_t r9,
                 sgx::EnclaveRun* run);
  Tcs* find_tcs(std::uint64_t address);
  bool active() const;
  bool chance(Kind kind, std::uint64_t factor = 1);
  void count(Kind kind);
  void learn(std::uint64_t boot_block);
  void nested_entries(Tcs& tcs);
  int lie(int error);
  void end_attack();
  void lie_about_call(Tcs& tcs);
  bool take_kept(Tcs& tcs, sgx::EnclaveRun* run, int* result);

  void guest_loop();
  void visit(Tcs& tcs);
  void hand_over(Tcs& tcs, const host::ExitEvent& event);
  void saboteur_loop();
  void hide_pages(Random& random);
  void burst(Random& random);
  void lie_in_words(Random& random);
  void lie_in_ring(Random& random);
  std::pair<std::uint64_t, std::uint64_t> pick_pages(Random& random);

  host::EmulatorDevice real_;
  const Plan plan_;
  const host_abi::KernelLayout layout_;
  std::array<Tcs, kMostTcs> tcs_;
  std::size_t tcs_count_ = 0;
  SignalHandler handler_ = nullptr;
  std::atomic<host_abi::BootBlock*> boot_ = nullptr;
  host_abi::BootBlock known_boot_{};  // as the runtime made it
  std::atomic<std::uint64_t> began_ = 0;
  std::atomic<bool> stopping_ = false;
  std::atomic<std::int32_t> guest_tid_ = 0;
  std::atomic<std::int32_t> vcpu_threads_ = 0;
  std::mutex augmented_mutex_;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> augmented_;
  std::array<std::atomic<std::uint64_t>, kKinds> tally_{};
  std::mutex end_mutex_;
  std::thread guest_, saboteur_;
};

}  // namespace hostile
#endif  // TESTS_HOSTILE_HOSTILE_DEVICE_H
