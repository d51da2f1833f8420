// Mode fast: rewriting the ENCLU sites, and what a signal means that lands in the assembly behind them (fast.S, fast_enter.inc).
//
// A site (ENCLU and a six-byte nop) becomes `jmp *slot(%rip)` and a nop. The slots lie in a page of ELRANGE that belongs to no EPCM
// entry; each holds the address of a thunk outside, which keeps the site's number (a jump leaves no return address, and EEXIT may not
// push).
#include <cstring>
#include <mutex>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "emulator/checks.h"
#include "emulator/thread.h"

namespace emulator {

extern "C" {
extern FastGlobals emulator_fast;
extern char emulator_fast_exit[], emulator_fast_exit_checked[], emulator_fast_exit_counted[], emulator_fast_exit_committed[], emulator_fast_exit_released[],
    emulator_fast_exit_slow[], emulator_fast_exit_end[];
extern char emulator_fast_leaf[], emulator_fast_leaf_pushed1[], emulator_fast_leaf_pushed2[], emulator_fast_leaf_done[],
    emulator_fast_leaf_done_end[], emulator_fast_leaf_fault[], emulator_fast_leaf_fault_end[], emulator_fast_leaf_slow[],
    emulator_fast_leaf_slow_end[];
extern char emulator_fast_enter_taken[], emulator_fast_enter_counted[], emulator_fast_enter_give_back[], emulator_fast_enter_end[], emulator_fast_enter_strict[],
    emulator_fast_enter_retry[];
extern char emulator_fast_resume_taken[], emulator_fast_resume_committed[], emulator_fast_resume_counted[], emulator_fast_resume_end[];
std::int64_t emulator_fast_leaf_body(Thread* thread, u32 leaf, u64 rbx, u64 rcx, u64 rdx);
}

namespace {

constexpr u8 kSitePattern[kSiteSize] = {0x0f, 0x01, 0xd7, 0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00};
constexpr u32 kMaxSites = kPage / sizeof(u64);
constexpr u64 kThunkSize = 32;
constexpr u64 kThunkHeader = 32;  // two pointers: the exit and the leaf path
constexpr u64 kThunkJumpAt = 21;  // behind the push
constexpr u64 kThunkExitAt = 10;  // the exit's jump
constexpr u32 kExitNumberShift = 8;
constexpr u64 kZeroFlag = 0x40;
constexpr u64 kSahfFlags = 0xd5;
constexpr u64 kOverflowFlag = 0x800;

std::atomic<State*> g_fast_state;

u64 label(const char* at) { return reinterpret_cast<u64>(at); }
bool between(u64 rip, const char* begin, const char* end) { return rip >= label(begin) && rip < label(end); }

bool is_code_page(const State& state, u64 page) {
  constexpr Entry kMask = kEntryValid | kEntryTypeMask | sgx::kSecinfoX;
  constexpr Entry kCode = kEntryValid | (sgx::kSecinfoRegRw & kEntryTypeMask) | sgx::kSecinfoX;
  return state.contains(page) && (state.entry(page).load() & kMask) == kCode;
}

// The first site in [at, end), or null. The pattern's third byte is rare in code: looking for that is ten times as quick as memmem.
const u8* next_site(const u8* at, const u8* end) {
  constexpr std::ptrdiff_t kRare = 2;
  static_assert(kSitePattern[kRare] == 0xd7);
  while (end - at >= static_cast<std::ptrdiff_t>(kSiteSize)) {
    const std::size_t range = static_cast<std::size_t>(end - at) - kSiteSize + 1;
    const void* rare = std::memchr(at + kRare, kSitePattern[kRare], range);
    if (rare == nullptr) return nullptr;
    at = static_cast<const u8*>(rare) - kRare;
    if (std::memcmp(at, kSitePattern, kSiteSize) == 0) return at;
    ++at;
  }
  return nullptr;
}

// Fills `sites` (at most kMaxSites) in rising order; their number.
u32 find_sites(const State& state, u64* sites) {
  u32 count = 0;
  for (const auto& [start, end] : state.added) {
    for (u64 page = start; page < end; page += kPage) {
      if (!is_code_page(state, page)) continue;
      u64 stop = page + kPage;
      while (stop < end && is_code_page(state, stop)) stop += kPage;
      const auto* code = reinterpret_cast<const u8*>(page);
      const u64 size = stop - page;
      const u8* at = code;
      while (count < kMaxSites) {
        const u8* found = next_site(at, code + size);
        if (found == nullptr) break;
        at = found + 1;
        sites[count++] = reinterpret_cast<u64>(found);
      }
      page = stop - kPage;
    }
  }
  return count;
}

// A page of ELRANGE near the sites that nobody owns.
u64 find_pointer_page(const State& state, u64 lowest, u64 highest) {
  constexpr u64 kReach = 0x7000'0000;
  constexpr u64 kStep = 0x10'0000;
  const u64 first = lowest & ~(kPage - 1);
  for (u64 distance = kStep; distance < kReach; distance += kStep) {
    if (first < state.reserved_start + distance) break;
    const u64 page = first - distance;
    if (highest - page < kReach && (state.entry(page).load() & kEntryValid) == 0) return page;
  }
  return 0;
}

void put_disp(u8* at, u64 target, u64 next) {
  const auto disp = static_cast<u32>(target - next);
  std::memcpy(at, &disp, sizeof(disp));
}

// cmp $4,%eax ; jne 1f ; mov $(number << 8 | 4),%eax ; jmp *exit ; 1: push $number ; jmp *leaf
void write_thunk(u8* thunk, u64 header, u32 number) {
  const u64 at = reinterpret_cast<u64>(thunk);
  const u8 code[] = {0x83, 0xf8, 4, 0x75, 11, 0xb8, 4, 0, 0, 0, 0xff, 0x25, 0, 0, 0, 0, 0x68, 0, 0, 0, 0, 0xff, 0x25, 0, 0, 0, 0};
  static_assert(sizeof(code) <= kThunkSize);
  std::memcpy(thunk, code, sizeof(code));
  const u32 exit_value = number << kExitNumberShift | static_cast<u32>(sgx::EncluLeaf::eexit);
  std::memcpy(thunk + 6, &exit_value, sizeof(exit_value));
  put_disp(thunk + 12, header, at + 16);
  std::memcpy(thunk + 17, &number, sizeof(number));
  put_disp(thunk + 23, header + sizeof(u64), at + 27);
}

// False: the host refused.
bool write_thunks(State& state, u32 count) {
  const u64 size = (kThunkHeader + count * kThunkSize + kPage - 1) & ~(kPage - 1);
  void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return false;
  auto* bytes = static_cast<u8*>(memory);
  const u64 targets[2] = {label(emulator_fast_exit), label(emulator_fast_leaf)};
  std::memcpy(bytes, targets, sizeof(targets));
  for (u32 i = 0; i < count; ++i) write_thunk(bytes + kThunkHeader + i * kThunkSize, reinterpret_cast<u64>(memory), i);
  state.thunks = memory;
  state.thunks_size = size;
  return mprotect(memory, size, PROT_READ | PROT_EXEC) == 0;
}

u64 read_stack(u64 address) {
  u64 value = 0;
  // The host may have unmapped the page since the push.
  const bool read = emulator_copy(&value, reinterpret_cast<const void*>(address), sizeof(value)) == 0 || read_through(address, &value, sizeof(value));
  if (!read) fatal("the enclave's stack is gone", address);
  return value;
}

// Back to the site with `words` popped; the lowest of them is the site's number's distance from the stack pointer.
void back_to_site(const State& state, const Frame& frame, u64 words) {
  u64& rsp = frame.reg(REG_RSP);
  const u64 number = read_stack(rsp + (words - 1) * sizeof(u64));
  if (number >= state.patched) fatal("no such ENCLU site", number);
  frame.rip() = state.sites[number];
  rsp += words * sizeof(u64);
}

void load_saved_registers(const Thread& thread, const Frame& frame) {
  frame.rax() = thread.rax;
  frame.reg(REG_RCX) = thread.rcx;
  frame.reg(REG_RDX) = thread.rdx;
  frame.reg(REG_RSI) = thread.rsi;
  frame.reg(REG_RDI) = thread.rdi;
  frame.reg(REG_R8) = thread.r8;
  frame.reg(REG_R9) = thread.r9;
  frame.reg(REG_R10) = thread.r10;
  frame.reg(REG_R11) = thread.r11;
  frame.reg(REG_RSP) = thread.rsp;
  frame.rip() = thread.return_rip;
}

// In a leaf that is not EEXIT, or in a thunk.
void settle_leaf(Thread& thread, const Frame& frame) {
  const State& state = *thread.state;
  const u64 rip = frame.rip();
  const u64 thunks = reinterpret_cast<u64>(state.thunks) + kThunkHeader;
  if (rip - thunks < state.patched * kThunkSize) {
    const u64 number = (rip - thunks) / kThunkSize;
    const u64 at = (rip - thunks) % kThunkSize;
    if (at == kThunkJumpAt) frame.reg(REG_RSP) += sizeof(u64);
    if (at == kThunkExitAt) frame.rax() = static_cast<u64>(sgx::EncluLeaf::eexit);
    frame.rip() = state.sites[number];
  } else if (between(rip, emulator_fast_leaf, emulator_fast_leaf_pushed1)) {
    back_to_site(state, frame, 1);
  } else if (between(rip, emulator_fast_leaf_pushed1, emulator_fast_leaf_pushed2)) {
    back_to_site(state, frame, 2);
  } else if (between(rip, emulator_fast_leaf_done, emulator_fast_leaf_done_end)) {
    load_saved_registers(thread, frame);
    u64& flags = frame.reg(REG_EFL);
    flags = (flags & ~(kSahfFlags | kOverflowFlag)) | (thread.flags & kSahfFlags);
  } else if (between(rip, emulator_fast_leaf_fault, emulator_fast_leaf_fault_end)) {
    load_saved_registers(thread, frame);
  } else if (between(rip, emulator_fast_leaf_pushed2, emulator_fast_leaf_slow_end)) {
    const u64 rsp = frame.reg(REG_RSP);
    frame.rax() = read_stack(rsp);
    frame.reg(REG_RCX) = read_stack(rsp + sizeof(u64));
    back_to_site(state, frame, 3);
  }
}

// In EEXIT before its commit. True: finished on the frame; false: back at the site.
bool settle_exit(Thread& thread, const Frame& frame) {
  if (frame.rip() < label(emulator_fast_exit_checked)) {
    const u64 number = (frame.rax() & 0xffff'ffff) >> kExitNumberShift;
    if (number >= thread.state->patched) fatal("no such ENCLU site", number);
    frame.rip() = thread.state->sites[number];
    frame.rax() = static_cast<u64>(sgx::EncluLeaf::eexit);
    return false;
  }
  const bool counted = frame.rip() == label(emulator_fast_exit_counted);
  if (counted) --thread.tcs->count_eexit;
  if (frame.rip() == label(emulator_fast_exit_slow)) ++thread.tcs->counters.trapped_leaves;
  frame.rax() = static_cast<u64>(sgx::EncluLeaf::eexit);
  if (!play_eexit(thread, frame).ok()) fatal("EEXIT to a bad target", frame.reg(REG_RBX));
  return true;
}

void settle_committed_exit(const Frame& frame) {
  if (frame.rip() < label(emulator_fast_exit_released)) {
    auto* tcs = reinterpret_cast<TcsState*>(frame.rax());
    tcs->active.store(0, std::memory_order_release);
  }
  frame.reg(REG_RCX) = label(emulator_aep);
  frame.rax() = static_cast<u64>(sgx::EncluLeaf::eexit);
  frame.rip() = frame.reg(REG_RBX);
}

void settle_enter(Thread& thread, const Frame& frame, bool synchronous) {
  const bool lost = frame.rip() == label(emulator_fast_enter_taken) && (frame.reg(REG_EFL) & kZeroFlag) == 0;
  if (!lost) {
    auto* tcs = reinterpret_cast<TcsState*>(frame.reg(REG_R10));
    if (between(frame.rip(), emulator_fast_enter_counted, emulator_fast_enter_give_back)) --tcs->count_eenter;
    thread.in_enclave = 0;
    thread.tcs = nullptr;
    tcs->active.store(0, std::memory_order_release);
  }
  frame.bases->fs = thread.host_fs;
  frame.bases->gs = thread.host_gs;
  frame.rip() = label(synchronous ? emulator_fast_enter_strict : emulator_fast_enter_retry);
}

void settle_resume(Thread& thread, const Frame& frame, bool synchronous) {
  const bool lost = frame.rip() == label(emulator_fast_resume_taken) && (frame.reg(REG_EFL) & kZeroFlag) == 0;
  if (!lost) {
    TcsState& tcs = *thread.next_tcs;
    // The give-back path stands behind the labels and has changed nothing.
    const bool committed = tcs.cssa < thread.cssa;
    if (committed) ++tcs.cssa;
    if (committed && frame.rip() >= label(emulator_fast_resume_counted)) --tcs.count_eresume;
    thread.in_enclave = 0;
    thread.tcs = nullptr;
    tcs.active.store(0, std::memory_order_release);
  }
  frame.bases->fs = thread.host_fs;
  frame.bases->gs = thread.host_gs;
  frame.reg(REG_RSP) = thread.saved_rsp;
  frame.reg(REG_RBP) = thread.saved_rbp;
  frame.rip() = label(synchronous ? emulator_fast_enter_strict : emulator_fast_enter_retry);
}

}  // namespace

bool is_fast_state(const State& state) { return g_fast_state.load(std::memory_order_acquire) == &state; }

void patch_sites(State& state) {
  State* nobody = nullptr;
  if (!g_fast_state.compare_exchange_strong(nobody, &state)) return;  // one enclave of a process at a time; others trap
  auto* sites = new u64[kMaxSites];
  state.sites = sites;
  const u32 count = find_sites(state, sites);
  if (count == 0) return;
  const u64 pointers = find_pointer_page(state, sites[0], sites[count - 1]);
  if (pointers == 0 || !write_thunks(state, count)) return;
  void* page = reinterpret_cast<void*>(pointers);
  if (mprotect(page, kPage, PROT_READ | PROT_WRITE) != 0) return;
  auto* slots = static_cast<u64*>(page);
  for (u32 i = 0; i < count; ++i) {
    slots[i] = reinterpret_cast<u64>(state.thunks) + kThunkHeader + i * kThunkSize;
    u8 code[kSiteSize] = {0xff, 0x25, 0, 0, 0, 0, 0x0f, 0x1f, 0x00};
    put_disp(code + 2, pointers + i * sizeof(u64), sites[i] + 6);
    std::memcpy(reinterpret_cast<void*>(sites[i]), code, sizeof(code));
  }
  mprotect(page, kPage, PROT_READ);
  state.pointer_page = pointers;
  state.patched = count;
  emulator_fast = {.base = state.base,
                   .size = state.size,
                   .epcm = state.epcm,
                   .tcs = state.tcs,
                   .sites = sites,
                   .epoch = &state.epoch,
                   .assertions = state.options.assertions ? 1U : 0U};
}

void release_sites(State& state) {
  if (state.thunks != nullptr) munmap(state.thunks, state.thunks_size);
  delete[] state.sites;
  State* mine = &state;
  if (g_fast_state.compare_exchange_strong(mine, nullptr)) emulator_fast = {};
}

bool is_patched_site(const State& state, u64 address) {
  u32 low = 0;
  u32 high = state.patched;
  while (low < high) {
    const u32 middle = (low + high) / 2;
    if (state.sites[middle] == address) return true;
    if (state.sites[middle] < address) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return false;
}

void mark_gs_page(State& state, TcsState& tcs) {
  const std::lock_guard guard(state.pte);
  tcs.gs_page_marked = true;
  if (!state.contains(tcs.gs_base)) return;
  bool shared = false;
  const u32 slots = state.tcs_slots.load();
  for (u32 slot = 1; slot < slots; ++slot) {
    shared = shared || (slot != tcs.slot && state.tcs[slot].used && state.tcs[slot].gs_base == tcs.gs_base);
  }
  std::atomic<Entry>& entry = state.entry(tcs.gs_base);
  Entry old = entry.load();
  Entry marked = 0;
  do {
    if ((old & kEntryValid) == 0 || entry_type(old) != sgx::PageType::reg) return;
    marked = (old & ~kEntrySlotMask) | (shared ? 0 : Entry{tcs.slot} << kEntrySlotShift);
  } while (!entry.compare_exchange_weak(old, marked));
}

bool settle_fast_transition(Thread& thread, const Frame& frame, bool synchronous) {
  const u64 rip = frame.rip();
  if (between(rip, emulator_fast_enter_taken, emulator_fast_enter_end)) {
    settle_enter(thread, frame, synchronous);
    return synchronous;
  }
  if (between(rip, emulator_fast_resume_taken, emulator_fast_resume_end)) {
    settle_resume(thread, frame, synchronous);
    return synchronous;
  }
  if (between(rip, emulator_fast_exit_committed, emulator_fast_exit_slow)) {
    settle_committed_exit(frame);
    return synchronous;
  }
  if (thread.in_enclave == 0 || thread.state->contains(rip)) return false;
  if (between(rip, emulator_fast_exit, emulator_fast_exit_end)) return settle_exit(thread, frame) && synchronous;
  if (thread.state->patched != 0) settle_leaf(thread, frame);
  return false;
}

void raise_deferred(Thread& thread) {
  while (thread.deferred != 0) {
    const int bit = __builtin_ctzll(thread.deferred);
    thread.deferred &= thread.deferred - 1;
    syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), bit + 1);
  }
}

std::int64_t emulator_fast_leaf_body(Thread* thread, u32 leaf, u64 rbx, u64 rcx, u64 rdx) {
  const LeafContext context{*thread->state, *thread->tcs};
  Status status;
  switch (static_cast<sgx::EncluLeaf>(leaf)) {
    case sgx::EncluLeaf::eaccept: status = leaf_eaccept(context, rbx, rcx); break;
    case sgx::EncluLeaf::eacceptcopy: status = leaf_eacceptcopy(context, rbx, rcx, rdx); break;
    case sgx::EncluLeaf::emodpe: status = leaf_emodpe(context, rbx, rcx); break;
    default: return -1;
  }
  if (status.fault != Fault::none) return -1;
  ++thread->tcs->count_fast;
  return static_cast<std::int64_t>(status.error);
}

}  // namespace emulator
