#include "emulator/thread.h"

#include <asm/prctl.h>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <mutex>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1U << 31)
#endif
#ifndef ARCH_SET_CPUID
#define ARCH_SET_CPUID 0x1012
#endif

namespace emulator {

extern "C" u64 emulator_arena_size;

namespace {

constexpr u32 kSlots = 1024;
constexpr u64 kLevelsStart = THREAD_OFFSET + kPage + kLeafStackSize;
constexpr u64 kLevelSize = ((SLOT_SIZE - kLevelsStart) / kLevels) & ~(kPage - 1);
static_assert(sizeof(Thread) <= kPage && kLevelSize >= 96 * 1024);

std::mutex g_slots_mutex;
bool g_slot_used[kSlots];

u64 slot_address(u32 slot) { return emulator_arena + u64{slot} * SLOT_SIZE; }

// The arena is reserved once and stays.
bool reserve_arena_locked() {
  if (emulator_arena != 0) return true;
  constexpr u64 kSize = u64{kSlots} * SLOT_SIZE;
  void* arena = mmap(nullptr, kSize, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (arena == MAP_FAILED) return false;
  emulator_arena = reinterpret_cast<u64>(arena);
  emulator_arena_size = kSize;
  return true;
}

bool open_slot(u32 slot) {
  const u64 start = slot_address(slot);
  if (mprotect(reinterpret_cast<void*>(start + THREAD_OFFSET), SLOT_SIZE - THREAD_OFFSET, PROT_READ | PROT_WRITE) != 0) return false;
  for (u32 level = 0; level < kLevels; ++level) {
    if (mprotect(reinterpret_cast<void*>(start + kLevelsStart + level * kLevelSize), kPage, PROT_NONE) != 0) return false;
  }
  return true;
}

void close_slot(u32 slot) {
  void* start = reinterpret_cast<void*>(slot_address(slot));
  mprotect(start, SLOT_SIZE, PROT_NONE);
  madvise(start, SLOT_SIZE, MADV_DONTNEED);
}

// Gives the slot back when the thread ends.
struct Attachment {
  Thread* thread = nullptr;
  ~Attachment() {
    if (thread == nullptr) return;
    if (thread->cpuid_faulting) syscall(SYS_arch_prctl, ARCH_SET_CPUID, 1);
    stack_t off{};
    off.ss_flags = SS_DISABLE;
    sigaltstack(&off, nullptr);
    const u32 slot = thread->slot;
    thread = nullptr;
    const std::lock_guard guard(g_slots_mutex);
    close_slot(slot);
    g_slot_used[slot] = false;
  }
};

thread_local Attachment t_attachment;
thread_local u64 t_filtered_base = ~u64{0};
thread_local u64 t_filtered_size = 0;

// getpid() with these arguments is answered by our filter: how a thread finds out that it has inherited one.
constexpr u64 kProbe = 0x6f63636c756d;
constexpr int kProbeAnswer = ENOTUNIQ;

bool filter_present(u64 base, u64 size) {
  const long answer = syscall(SYS_getpid, kProbe, base >> 12, size >> 12);
  return answer == -1 && errno == kProbeAnswer;
}

constexpr u32 instruction_pointer_offset(bool high) { return static_cast<u32>(offsetof(seccomp_data, instruction_pointer)) + (high ? 4 : 0); }
constexpr u32 argument_offset(u32 index, bool high) { return static_cast<u32>(offsetof(seccomp_data, args)) + index * 8 + (high ? 4 : 0); }

// `syscall` with RIP in ELRANGE becomes SIGSYS; everything else passes. ELRANGE is a power of two and aligned, so two masked
// comparisons decide. (The instruction pointer is that after the instruction: a `syscall` that ends at the last byte is not seen.)
bool install_filter(u64 base, u64 size) {
  const u64 mask = ~(size - 1);
  const auto low = [](u64 v) { return static_cast<u32>(v); };
  const auto high = [](u64 v) { return static_cast<u32>(v >> 32); };
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, instruction_pointer_offset(true)),
      BPF_STMT(BPF_ALU | BPF_AND | BPF_K, high(mask)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, high(base), 0, 4),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, instruction_pointer_offset(false)),
      BPF_STMT(BPF_ALU | BPF_AND | BPF_K, low(mask)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, low(base), 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
      // The probe.
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<u32>(offsetof(seccomp_data, nr))),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<u32>(SYS_getpid), 0, 9),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, argument_offset(0, false)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, low(kProbe), 0, 7),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, argument_offset(1, false)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, low(base >> 12), 0, 5),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, argument_offset(2, false)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, low(size >> 12), 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, argument_offset(2, true)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, high(size >> 12), 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | kProbeAnswer),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter{static_cast<unsigned short>(sizeof(program) / sizeof(program[0])), program};
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) == 0) return true;
  if (errno != EACCES || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return false;
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) == 0;
}

Thread* attach() {
  if (t_attachment.thread != nullptr) return t_attachment.thread;
  if (!install_signal_handlers()) return nullptr;
  u32 slot = 0;
  {
    const std::lock_guard guard(g_slots_mutex);
    if (!reserve_arena_locked()) return nullptr;
    while (slot < kSlots && g_slot_used[slot]) ++slot;
    if (slot == kSlots) {
      errno = EAGAIN;
      return nullptr;
    }
    if (!open_slot(slot)) return nullptr;
    g_slot_used[slot] = true;
  }
  auto* thread = reinterpret_cast<Thread*>(slot_address(slot) + THREAD_OFFSET);
  *thread = Thread{};
  thread->slot = slot;
  thread->leaf_stack = slot_address(slot) + kLevelsStart;
  thread->armed_level = ~0U;
  asm volatile("rdfsbase %0" : "=r"(thread->host_fs));
  asm volatile("rdgsbase %0" : "=r"(thread->host_gs));
  if (!arm_signal_stack(*thread)) return nullptr;
  sigset_t synchronous;
  sigemptyset(&synchronous);
  for (const int number : {SIGSEGV, SIGILL, SIGSYS, SIGFPE, SIGBUS, SIGTRAP}) sigaddset(&synchronous, number);
  pthread_sigmask(SIG_UNBLOCK, &synchronous, nullptr);
  t_attachment.thread = thread;
  return thread;
}

}  // namespace

Thread* current_thread() { return t_attachment.thread; }

bool attach_thread() { return attach() != nullptr; }

bool arm_signal_stack(Thread& thread) {
  if (thread.armed_level == thread.depth) return true;
  if (thread.depth >= kLevels) {
    errno = EBUSY;
    return false;
  }
  // SS_AUTODISARM: inside a handler there is no alternate stack, so a nested entry may set another one, and the return from the
  // handler brings this one back.
  stack_t stack{};
  stack.ss_sp = reinterpret_cast<void*>(slot_address(thread.slot) + kLevelsStart + thread.depth * kLevelSize + kPage);
  stack.ss_size = kLevelSize - kPage;
  stack.ss_flags = static_cast<int>(SS_AUTODISARM);
  if (sigaltstack(&stack, nullptr) != 0) return false;
  thread.armed_level = thread.depth;
  return true;
}

bool prepare_thread_for(Thread& thread, State& state) {
  if (t_filtered_base != state.base || t_filtered_size != state.size) {
    if (!filter_present(state.base, state.size) && !install_filter(state.base, state.size)) return false;
    t_filtered_base = state.base;
    t_filtered_size = state.size;
  }
  if (state.options.cpuid_faulting && !thread.cpuid_faulting) {
    // ENODEV where the processor cannot: then CPUID works inside (documented).
    thread.cpuid_faulting = syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0) == 0;
    if (!thread.cpuid_faulting) state.options.cpuid_faulting = false;
  }
  return true;
}

void fatal(const char* message, u64 value) {
  char line[200];
  const int length = std::snprintf(line, sizeof(line), "emulator: %s (0x%llx)\n", message, static_cast<unsigned long long>(value));
  if (length > 0) {
    const ssize_t ignored = write(STDERR_FILENO, line, static_cast<std::size_t>(length));
    static_cast<void>(ignored);
  }
  std::abort();
}

// For emulator_enter(): < 0 is its result, else a FastEntry. In RAX and RDX.
struct EntryDecision {
  std::int64_t code;
  Thread* thread;
};
extern "C" EntryDecision emulator_prepare_enter(sgx::EnclaveRun* run, u32 function);

EntryDecision emulator_prepare_enter(sgx::EnclaveRun* run, u32 function) {
  if (function != static_cast<u32>(sgx::EncluLeaf::eenter) && function != static_cast<u32>(sgx::EncluLeaf::eresume)) return {-EINVAL, nullptr};
  u64 bits = 0;
  for (std::size_t i = 0; i < run->reserved.size(); i += 8) {
    u64 word = 0;
    std::memcpy(&word, run->reserved.data() + i, sizeof(word));
    bits |= word;
  }
  if (bits != 0) return {-EINVAL, nullptr};
  Thread* thread = attach();
  if (thread == nullptr) return {errno == EAGAIN ? -EAGAIN : -ENOMEM, nullptr};
  if (!arm_signal_stack(*thread)) return {-EBUSY, nullptr};
  State* state = find_state(run->tcs);
  if (state == nullptr) return {0, thread};  // the ENCLU faults
  if (!prepare_thread_for(*thread, *state)) return {-EPERM, nullptr};
  return {static_cast<std::int64_t>(prepare_fast_entry(*thread, *state, *run, function)), thread};
}

int enter(u64 rdi, u64 rsi, u64 rdx, u32 function, u64 r8, u64 r9, sgx::EnclaveRun* run) {
  return emulator_enter(rdi, rsi, rdx, function, r8, r9, run);
}

}  // namespace emulator
