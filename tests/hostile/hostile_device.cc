#include "tests/hostile/hostile_device.h"

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <xmmintrin.h>

#include <algorithm>
#include <cerrno>
#include <string>

#include "host/futex.h"
#include "host/shared_memory.h"
#include "host/vcpu.h"

namespace hostile {
namespace {

using host_abi::ExitCode;

constinit HostileDevice* the_device = nullptr;  // the enter function has no argument of its own
constinit std::atomic<std::uint64_t> thread_numbers{1};

struct PerThread {
  std::uint64_t state = 0;
  int depth = 0;                    // asynchronous exits that have not been resumed
  bool holds_lock = false;          // of the TCS that it is in
  bool guest = false;
  std::uint64_t tcs = 0;            // where a guest is
  host::Entry* entry = nullptr;     // and by which entry
};
constinit thread_local PerThread self;

std::int32_t gettid_now() { return static_cast<std::int32_t>(syscall(SYS_gettid)); }

void pause_us(std::uint64_t us) {
  const timespec time = {0, static_cast<long>(us * 1000)};
  nanosleep(&time, nullptr);
}

Random thread_random(std::uint64_t seed) {
  if (self.state == 0) self.state = seed * 1000 + thread_numbers.fetch_add(1);
  Random random(self.state);
  self.state = random.next() | 1;
  return random;
}

}  // namespace

std::uint64_t Random::next() {
  state_ ^= state_ >> 12;
  state_ ^= state_ << 25;
  state_ ^= state_ >> 27;
  return state_ * 0x2545f4914f6cdd1d;
}

Plan Plan::from_seed(std::uint64_t seed) {
  Random random(seed + 77);
  Plan plan{.seed = seed};
  // Few kinds at a time show more of each; all together now and then.
  constexpr std::uint32_t kAll = (1U << kKinds) - 1;
  plan.kinds = random.one_in(8) ? kAll & ~std::uint32_t{kBoot} : 0;
  for (std::uint64_t i = 1 + random.below(3); plan.kinds == 0 || i > 0; --i) plan.kinds |= 1U << random.below(kKinds - 1);
  if (random.one_in(25)) plan.kinds |= kBoot;
  plan.rarity = std::uint64_t{1} << (1 + random.below(5));
  plan.first_us = random.one_in(4) ? 0 : 2000 + random.below(20000);
  plan.length_us = 20000 + random.below(150000);
  return plan;
}

HostileDevice::HostileDevice(const emulator::Options& options, const Plan& plan, const host_abi::KernelLayout& layout)
    : real_(options), plan_(plan), layout_(layout), tcs_count_(std::min<std::size_t>(layout.tcs_slots, 4)) {
  for (std::size_t i = 0; i < tcs_count_; ++i) tcs_[i].address = layout.slot(static_cast<std::uint32_t>(i));
  the_device = this;
}

HostileDevice::~HostileDevice() { end_attack(); }

void HostileDevice::end_attack() {
  stopping_.store(true);
  const std::lock_guard lock(end_mutex_);
  while (guest_.joinable()) {
    const std::int32_t tid = guest_tid_.load();
    if (tid != 0) syscall(SYS_tgkill, getpid(), tid, host::kVcpuSignal);
    if (tid == 0) guest_.join();
    pause_us(100);
  }
  if (saboteur_.joinable()) saboteur_.join();
}

host::Status HostileDevice::init(const sgx::Sigstruct& sigstruct) {
  const host::Status status = real_.init(sigstruct);
  if (!status) return status;
  guest_tid_.store((plan_.kinds & kGuests) != 0 ? -1 : 0);
  if ((plan_.kinds & kGuests) != 0) guest_ = std::thread([this] { guest_loop(); });
  saboteur_ = std::thread([this] { saboteur_loop(); });
  return status;
}

bool HostileDevice::active() const {
  const std::uint64_t began = began_.load();
  if (began == 0 || stopping_.load()) return false;
  const std::uint64_t now = host::monotonic_now();
  return now >= began + plan_.first_us * 1000 && now < began + (plan_.first_us + plan_.length_us) * 1000;
}

bool HostileDevice::chance(Kind kind, std::uint64_t factor) {
  if ((plan_.kinds & kind) == 0 || !active()) return false;
  if (!thread_random(plan_.seed).one_in(plan_.rarity * factor)) return false;
  count(kind);
  return true;
}

void HostileDevice::count(Kind kind) { tally_[static_cast<std::size_t>(__builtin_ctz(kind))].fetch_add(1, std::memory_order_relaxed); }

std::string HostileDevice::tally() const {
  static constexpr const char* kNames[kKinds] = {"entries", "guests", "presence", "ticks", "words", "results", "ring", "pages", "boot"};
  std::string text;
  for (std::size_t i = 0; i < kKinds; ++i)
    if ((plan_.kinds >> i & 1) != 0) text += fmt::format(" {}:{}", kNames[i], tally_[i].load());
  return text;
}

HostileDevice::Tcs* HostileDevice::find_tcs(std::uint64_t address) {
  for (std::size_t i = 0; i < tcs_count_; ++i)
    if (tcs_[i].address == address) return &tcs_[i];
  return nullptr;
}

// ---- EDMM calls

int HostileDevice::lie(int error) {
  static constexpr int kErrors[] = {ENOMEM, EIO, EBUSY, EFAULT, EINTR, 12345, 0, 0};
  return chance(kPages, 8) ? kErrors[thread_random(plan_.seed).below(std::size(kErrors))] : error;
}

int HostileDevice::augment(std::uint64_t offset, std::uint64_t length) {
  if (chance(kPages, 8)) return lie(0);  // nothing done
  if (chance(kPages, 8) && length > sgx::kPageSize) {
    static_cast<void>(real_.augment(offset, sgx::kPageSize));
    return 0;
  }
  const int error = real_.augment(offset, length);
  const std::lock_guard lock(augmented_mutex_);
  augmented_.emplace_back(offset, length);
  return lie(error);
}

int HostileDevice::restrict_permissions(std::uint64_t offset, std::uint64_t length, std::uint64_t permissions) {
  if (chance(kPages, 8)) return lie(0);
  return lie(real_.restrict_permissions(offset, length, permissions));
}

int HostileDevice::modify_types(std::uint64_t offset, std::uint64_t length, sgx::PageType type) {
  if (chance(kPages, 8)) return lie(0);
  return lie(real_.modify_types(offset, length, type));
}

int HostileDevice::remove_pages(std::uint64_t offset, std::uint64_t length) {
  if (chance(kPages, 8)) return lie(0);
  return lie(real_.remove_pages(offset, length));
}

// ---- entries

sgx::EnterFunction HostileDevice::enter_function() const { return real_.enter_function() == nullptr ? nullptr : &HostileDevice::enter; }

host::Status HostileDevice::begin_thread() {
  vcpu_threads_.fetch_add(1);
  return real_.begin_thread();
}

void HostileDevice::end_thread() {
  // The first virtual CPU runs as long as the instance; the shared memory goes after the last one.
  if (vcpu_threads_.fetch_sub(1) == 1) end_attack();
}

host::Status HostileDevice::install_signal(int signal, SignalHandler handler) {
  handler_ = handler;
  return real_.install_signal(signal, &HostileDevice::on_signal);
}

void HostileDevice::learn(std::uint64_t boot_block) {
  auto* boot = reinterpret_cast<host_abi::BootBlock*>(boot_block);
  known_boot_ = *boot;
  boot_.store(boot);
  began_.store(host::monotonic_now());
  if ((plan_.kinds & kBoot) == 0) return;
  count(kBoot);
  Random random(plan_.seed + 5);
  const std::uint64_t values[] = {0, 1, layout_.heap.start, layout_.image.start, layout_.elrange_size - 4096, ~std::uint64_t{0}, random.next(), known_boot_.arena + 4};
  auto* words = reinterpret_cast<std::uint64_t*>(boot);
  const std::uint64_t field = random.below(sizeof(*boot) / 8);
  words[field] = values[random.below(std::size(values))];
}

// An exit that a guest took while it was in the owner's place.
bool HostileDevice::take_kept(Tcs& tcs, sgx::EnclaveRun* run, int* result) {
  if (tcs.kept.load(std::memory_order_acquire) == 0) return false;
  const std::uint64_t rdi = tcs.kept_rdi, rsi = tcs.kept_rsi, rdx = tcs.kept_rdx;
  tcs.kept.store(0, std::memory_order_release);
  run->function = static_cast<std::uint32_t>(sgx::EncluLeaf::eexit);
  const auto handler = reinterpret_cast<sgx::EnclaveExitHandler>(run->user_handler);
  *result = handler(static_cast<std::int64_t>(rdi), static_cast<std::int64_t>(rsi), static_cast<std::int64_t>(rdx), 0, 0, 0, run);
  return true;
}

int HostileDevice::enter(std::uint64_t rdi, std::uint64_t rsi, std::uint64_t rdx, std::uint32_t function, std::uint64_t r8, std::uint64_t r9,
                         sgx::EnclaveRun* run) {
  HostileDevice& device = *the_device;
  Tcs* const tcs = device.find_tcs(run->tcs);
  if (tcs == nullptr) return emulator::enter(rdi, rsi, rdx, function, r8, r9, run);
  const bool entering = function == static_cast<std::uint32_t>(sgx::EncluLeaf::eenter);
  if (entering && self.depth == 0) {
    if (device.boot_.load() == nullptr && rdi == static_cast<std::uint64_t>(host_abi::EntryCode::boot)) device.learn(rsi);
    tcs->owner.store(gettid_now());
  }
  if (self.holds_lock) return device.enter_real(*tcs, rdi, rsi, rdx, function, r8, r9, run);  // nested, in a signal handler
  for (std::uint32_t free = 0; !tcs->lock.compare_exchange_weak(free, 1, std::memory_order_acquire); free = 0) pause_us(20);
  self.holds_lock = true;
  int result = 0;
  if (!(entering && self.depth == 0 && device.take_kept(*tcs, run, &result)))
    result = device.enter_real(*tcs, rdi, rsi, rdx, function, r8, r9, run);
  self.holds_lock = false;
  tcs->lock.store(0, std::memory_order_release);
  return result;
}

void HostileDevice::leave_to(Tcs& tcs) {
  while (tcs.visitors.load(std::memory_order_seq_cst) != 0) pause_us(20);
}

// The real entry; whoever used the time outside is gone before the owner goes on.
int HostileDevice::plain_enter(std::uint64_t rdi, std::uint64_t rsi, std::uint64_t rdx, std::uint32_t function, std::uint64_t r8, std::uint64_t r9,
                               sgx::EnclaveRun* run) {
  const int result = emulator::enter(rdi, rsi, rdx, function, r8, r9, run);
  if (Tcs* const tcs = self.guest ? nullptr : the_device->find_tcs(run->tcs)) leave_to(*tcs);
  return result;
}

int HostileDevice::enter_real(Tcs& tcs, std::uint64_t rdi, std::uint64_t rsi, std::uint64_t rdx, std::uint32_t function, std::uint64_t r8,
                              std::uint64_t r9, sgx::EnclaveRun* run) {
  const auto eresume = static_cast<std::uint32_t>(sgx::EncluLeaf::eresume);
  if (function == eresume) {
    if (chance(kEntries)) nested_entries(tcs);
    --self.depth;
  } else if (rdi == static_cast<std::uint64_t>(host_abi::EntryCode::resume)) {
    if (self.depth == 0) lie_about_call(tcs);
    if (chance(kEntries)) {
      Random random = thread_random(plan_.seed);
      rdi = random.one_in(2) ? random.below(4) : random.next();
      rsi = random.next();
      rdx = r8 = r9 = random.next();
    }
  }
  if (chance(kEntries)) {
    _mm_setcsr(0x1f80 | 0x6040);
    const std::uint16_t control = 0x0f7f;
    asm volatile("fldcw %0" : : "m"(control));
  }
  int result = plain_enter(rdi, rsi, rdx, function, r8, r9, run);
  _mm_setcsr(0x1f80);
  const std::uint16_t control = 0x037f;
  asm volatile("fldcw %0" : : "m"(control));
  // A guest came between: it is in there only for a moment. A page fault at ERESUME is one that the enclave took after it.
  const auto refused = [&] {
    const bool of_leaf = function != eresume || run->exception_vector == static_cast<std::uint16_t>(sgx::Vector::general_protection);
    return result == 0 && run->function == function && of_leaf;
  };
  for (int i = 0; i < 20000 && refused() && (plan_.kinds & kGuests) != 0; ++i) {
    pause_us(20);
    result = plain_enter(rdi, rsi, rdx, function, r8, r9, run);
  }
  if (result == 0 && run->function == eresume && run->exception_vector != 0) {
    ++self.depth;
    // What is missing comes back; the owner asks only so often.
    if ((plan_.kinds & kPresence) != 0 && self.depth > 1) pause_us(50);
  }
  return result;
}

// The handler entered without need, before the interrupted code goes on.
void HostileDevice::nested_entries(Tcs& tcs) {
  Random random = thread_random(plan_.seed);
  for (std::uint64_t i = 1 + random.below(3); i > 0; --i) {
    host::Entry entry(&plain_enter, tcs.address);
    host::ExitEvent event = entry.enter(sgx::EncluLeaf::eenter, random.next(), random.next());
    for (int tries = 0; event.kind == host::ExitEvent::Kind::fault && tries < 5000; ++tries) {
      pause_us(50);
      event = entry.enter(sgx::EncluLeaf::eresume, 0, 0);
    }
  }
}

void HostileDevice::on_signal(int signal, siginfo_t* info, ucontext_t* context) {
  HostileDevice& device = *the_device;
  if (self.guest) {
    if (self.entry == nullptr || !device.is_at_aep(*context, self.tcs)) return;
    if (device.stopping_.load()) {
      self.entry->abandon(*context);
    } else if (Tcs* tcs = device.find_tcs(self.tcs)) {
      device.nested_entries(*tcs);
    }
    return;
  }
  const bool inside = context->uc_mcontext.gregs[REG_RAX] == 3 && emulator::is_at_aep(context);
  const auto tcs_address = static_cast<std::uint64_t>(context->uc_mcontext.gregs[REG_RBX]);
  Tcs* const tcs = inside ? device.find_tcs(tcs_address) : nullptr;
  if (tcs != nullptr) leave_to(*tcs);
  if (device.chance(kTicks)) return;  // dropped; what matters is sent again
  if (inside) ++self.depth;
  if (tcs != nullptr && device.chance(kEntries)) device.nested_entries(*tcs);
  device.handler_(signal, info, context);
  if (device.chance(kTicks)) device.handler_(signal, info, context);
  if (inside) --self.depth;
}

// ---- lies about synchronous calls

void HostileDevice::lie_about_call(Tcs& tcs) {
  const auto index = static_cast<std::uint64_t>(&tcs - tcs_.data());
  if (boot_.load() == nullptr || index >= known_boot_.vcpu_count || !chance(kResults, 4)) return;
  Random random = thread_random(plan_.seed);
  host_abi::CallSlot& slot = reinterpret_cast<host_abi::VcpuBlock*>(known_boot_.vcpus)[index].call;
  const std::int64_t lies[] = {-5, -11, -12, -4, -12345, INT64_MIN, INT64_MAX, 0, 1, static_cast<std::int64_t>(slot.length) + 1, -1, 4096};
  switch (random.below(4)) {
    case 0: slot.token_done = random.next(); break;
    case 1: slot.token_done -= 1; break;
    default: slot.result = lies[random.below(std::size(lies))]; break;
  }
}

// ---- a thread that enters where it must not

void HostileDevice::guest_loop() {
  sigset_t mask;
  sigfillset(&mask);
  for (const int signal : {host::kVcpuSignal, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS}) sigdelset(&mask, signal);
  pthread_sigmask(SIG_SETMASK, &mask, nullptr);
  self.guest = true;
  if (!real_.begin_thread()) return guest_tid_.store(0);
  guest_tid_.store(gettid_now());
  Random random(plan_.seed + 11);
  while (!stopping_.load()) {
    pause_us(20 + random.below(200) * plan_.rarity);
    if (active()) visit(tcs_[random.below(tcs_count_)]);
  }
  guest_tid_.store(0);
}

void HostileDevice::visit(Tcs& tcs) {
  count(kGuests);
  Random random = thread_random(plan_.seed);
  std::uint32_t free = 0;
  const bool locked = tcs.lock.compare_exchange_strong(free, 1, std::memory_order_acquire);
  // An exit of an earlier visit waits to be served: the kernel must not run on before that.
  if (locked && tcs.kept.load() != 0) return tcs.lock.store(0, std::memory_order_release);
  if (!locked) {
    tcs.visitors.fetch_add(1, std::memory_order_seq_cst);
    if (!real_.enclave()->is_entered(tcs.address)) {
      tcs.visitors.fetch_sub(1, std::memory_order_seq_cst);
      return;
    }
  }
  host::Entry entry(&plain_enter, tcs.address);
  self.tcs = tcs.address;
  self.entry = &entry;
  host::ExitEvent event = entry.enter(sgx::EncluLeaf::eenter, random.one_in(2) ? 2 : random.next(), random.next());
  while (event.kind == host::ExitEvent::Kind::fault && !stopping_.load()) {
    nested_entries(tcs);
    event = entry.enter(sgx::EncluLeaf::eresume, 0, 0);
  }
  self.entry = nullptr;
  const auto code = static_cast<ExitCode>(event.rdi);
  const bool of_vcpu = event.kind == host::ExitEvent::Kind::exit && code != ExitCode::resume && code != ExitCode::retired;
  if (of_vcpu) {
    tcs.kept_rdi = event.rdi;
    tcs.kept_rsi = event.rsi;
    tcs.kept_rdx = event.rdx;
    tcs.kept.store(1, std::memory_order_release);
  }
  if (locked)
    tcs.lock.store(0, std::memory_order_release);
  else
    tcs.visitors.fetch_sub(1, std::memory_order_seq_cst);
  if (of_vcpu) hand_over(tcs, event);
}

// The owner may sleep: it has to come and see.
void HostileDevice::hand_over(Tcs& tcs, const host::ExitEvent&) {
  const auto index = static_cast<std::uint64_t>(&tcs - tcs_.data());
  // Less often from time to time: an owner that runs a program serves it at its next exit, and gets nowhere while it is interrupted.
  for (std::uint64_t pause = 200; tcs.kept.load() != 0 && !stopping_.load(); pause = std::min<std::uint64_t>(pause * 2, 20000)) {
    if (index < known_boot_.vcpu_count) {
      host_abi::VcpuBlock& block = reinterpret_cast<host_abi::VcpuBlock*>(known_boot_.vcpus)[index];
      host::shared(block.state).store(host_abi::kVcpuRunning);
      host::futex_wake(&block.state);
    }
    const std::int32_t owner = tcs.owner.load();
    if (owner != 0) syscall(SYS_tgkill, getpid(), owner, host::kVcpuSignal);
    pause_us(pause);
  }
}

// ---- a thread that changes what it can reach

void HostileDevice::saboteur_loop() {
  sigset_t mask;
  sigfillset(&mask);
  pthread_sigmask(SIG_SETMASK, &mask, nullptr);
  Random random(plan_.seed + 13);
  while (!stopping_.load()) {
    pause_us(10 + random.below(60) * plan_.rarity);
    if (!active()) continue;
    switch (random.below(4)) {
      case 0: hide_pages(random); break;
      case 1: burst(random); break;
      case 2: lie_in_words(random); break;
      default: lie_in_ring(random); break;
    }
  }
}

std::pair<std::uint64_t, std::uint64_t> HostileDevice::pick_pages(Random& random) {
  const auto some = [&](std::uint64_t start, std::uint64_t size) {
    const std::uint64_t pages = size / sgx::kPageSize;
    const std::uint64_t first = random.below(pages);
    return std::pair(start + first * sgx::kPageSize, (1 + random.below(std::min<std::uint64_t>(pages - first, 16))) * sgx::kPageSize);
  };
  const auto slot = static_cast<std::uint32_t>(random.below(tcs_count_));
  switch (random.below(8)) {
    case 0: return some(layout_.text.start, layout_.text.size);
    case 1: return some(layout_.data.start, layout_.data.size);
    case 2: return some(layout_.heap.start, layout_.heap.size);
    case 3: return some(layout_.slot(slot) + layout_.entry_stack_offset, layout_.entry_stack_size);
    case 4: return some(layout_.slot(slot) + layout_.exception_stack_offset, layout_.exception_stack_size);
    case 5: return {layout_.slot(slot) + layout_.vcpu_block_offset, sgx::kPageSize};
    default: break;
  }
  const std::lock_guard lock(augmented_mutex_);
  if (augmented_.empty()) return some(layout_.rodata.start, layout_.rodata.size);
  const auto& [start, size] = augmented_[random.below(augmented_.size())];
  return some(start, size);
}

void HostileDevice::hide_pages(Random& random) {
  if ((plan_.kinds & kPresence) == 0) return;
  count(kPresence);
  const auto [start, size] = pick_pages(random);
  real_.enclave()->set_present(start, size, false);
  pause_us(1 + random.below(random.one_in(10) ? 2000 : 100));
  real_.enclave()->set_present(start, size, true);
}

void HostileDevice::burst(Random& random) {
  if ((plan_.kinds & kTicks) == 0) return;
  count(kTicks);
  for (std::uint64_t i = 1 + random.below(20); i > 0; --i) {
    const std::int32_t owner = tcs_[random.below(tcs_count_)].owner.load();
    if (owner != 0) syscall(SYS_tgkill, getpid(), owner, host::kVcpuSignal);
    const std::int32_t guest = guest_tid_.load();
    if (guest > 0) syscall(SYS_tgkill, getpid(), guest, host::kVcpuSignal);
  }
}

void HostileDevice::lie_in_words(Random& random) {
  if ((plan_.kinds & kWords) == 0 || boot_.load() == nullptr) return;
  count(kWords);
  host_abi::VcpuBlock& block = reinterpret_cast<host_abi::VcpuBlock*>(known_boot_.vcpus)[random.below(known_boot_.vcpu_count)];
  auto* const clock = reinterpret_cast<host_abi::ClockPage*>(known_boot_.clock);
  switch (random.below(5)) {
    case 0: host::shared(block.pending).fetch_or(static_cast<std::uint32_t>(random.next())); break;
    case 1: host::shared(block.pending).store(0); break;
    case 2: host::shared(block.state).store(host_abi::kVcpuRunning); break;
    case 3: {  // signals that do nothing to a program
      constexpr std::uint64_t kHarmless = (1ULL << 16) | (1ULL << 22) | (1ULL << 27);  // SIGCHLD, SIGURG, SIGWINCH
      host::shared(*reinterpret_cast<std::uint64_t*>(known_boot_.user_signal)).fetch_or(kHarmless);
      break;
    }
    default: {
      const std::uint64_t lies[] = {0, 1, clock->monotonic_ns - 1'000'000'000, clock->monotonic_ns + 50'000'000, ~std::uint64_t{0}, random.next() | std::uint64_t{1} << 63};
      // A clock that is far ahead makes the kernel ask to be woken in a hundred years: a denial of service, and not shown here.
      clock->monotonic_ns = lies[random.below(std::size(lies))];
      if (random.one_in(2)) clock->realtime_ns = lies[random.below(std::size(lies))];
      if (random.one_in(2)) clock->tsc = random.one_in(2) ? 0 : ~std::uint64_t{0};
      if (random.one_in(3)) clock->tsc_hz = random.next() >> random.below(64);
      host::shared(clock->seq).fetch_add(2);
      break;
    }
  }
}

void HostileDevice::lie_in_ring(Random& random) {
  if ((plan_.kinds & kRing) == 0 || boot_.load() == nullptr) return;
  count(kRing);
  auto& rings = *reinterpret_cast<host_abi::Rings*>(known_boot_.rings);
  const std::uint32_t tail = host::shared(rings.cq_tail).load();
  const std::uint32_t extra = random.one_in(4) ? static_cast<std::uint32_t>(random.next()) : static_cast<std::uint32_t>(random.below(8));
  for (std::uint32_t i = 0; i < std::min(extra, host_abi::kRingEntries); ++i) {
    host_abi::Completion& entry = rings.cq[(tail + i) % host_abi::kRingEntries];
    entry.token = random.one_in(2) ? random.below(4096) : random.next();
    entry.result = static_cast<std::int64_t>(random.next());
  }
  host::shared(rings.cq_tail).store(tail + extra);
  pause_us(200);
  host::shared(rings.cq_tail).store(tail);  // where the I/O thread goes on
}

}  // namespace hostile
