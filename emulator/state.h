// Internal state of the emulated processor: EPCM, TCSs, the per-thread block.
//
// Locks, in order: State::encls (a mutex: one ENCLS operation at a time; host code only), then State::pte (a spinlock: host page tables
// follow the EPCM; taken by leaves and fault handlers too). EPCM entries are changed by compare-and-swap; whoever changes what an entry
// allows narrows the page tables afterwards, under `pte`. Host code holds them with asynchronous signals blocked (SignalBlock).
#ifndef EMULATOR_STATE_H
#define EMULATOR_STATE_H

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>

#include "emulator/emulator.h"
#include "sgx/measure.h"

namespace emulator {

using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;

inline constexpr u64 kPage = sgx::kPageSize;
inline constexpr u64 kLowestAddress = 0x10000;  // the first page that may be mapped (vm.mmap_min_addr)

// ---- EPCM entry. The low 16 bits are laid out as SECINFO.FLAGS (R, W, X, PENDING, MODIFIED, PR, type).
using Entry = u64;
inline constexpr Entry kEntryValid = 1U << 6;
inline constexpr Entry kEntryTypeMask = sgx::kSecinfoTypeMask;
inline constexpr Entry kEntrySecinfo = kEntryTypeMask | 0x3f;
inline constexpr u32 kEntryPteShift = 16;  // what the host's page tables allow now: R, W, X
inline constexpr Entry kEntryPteMask = Entry{7} << kEntryPteShift;
inline constexpr Entry kEntryAbsent = 1U << 19;  // the "operating system" unmapped the page (set_present)
inline constexpr u32 kEntrySlotShift = 20;       // TCS page, or page that is the OGSBASE of one TCS: its slot
inline constexpr Entry kEntrySlotMask = Entry{0xfff} << kEntrySlotShift;
inline constexpr u32 kEntryEpochShift = 32;  // tracking epoch of the last EMODPR or EMODT
inline constexpr u32 kMaxTcs = 4096;         // slot 0 is not used

constexpr sgx::PageType entry_type(Entry e) { return static_cast<sgx::PageType>((e >> sgx::kSecinfoTypeShift) & 0xff); }
constexpr u32 entry_slot(Entry e) { return static_cast<u32>((e & kEntrySlotMask) >> kEntrySlotShift); }
constexpr u32 entry_pte(Entry e) { return static_cast<u32>((e & kEntryPteMask) >> kEntryPteShift); }

// What the page tables may allow: the permissions of a regular page that is neither pending nor modified.
constexpr u32 entry_wanted_pte(Entry e) {
  constexpr Entry kDecides = kEntryValid | kEntryTypeMask | sgx::kSecinfoPending | sgx::kSecinfoModified | kEntryAbsent;
  constexpr Entry kUsable = kEntryValid | (Entry{static_cast<u8>(sgx::PageType::reg)} << sgx::kSecinfoTypeShift);
  return (e & kDecides) == kUsable ? static_cast<u32>(e & sgx::kSecinfoRwx) : 0;
}

struct Thread;

// A TCS with its execution state. Only the thread that holds `active` changes the rest; counters too.
inline constexpr std::size_t kTcsStateSize = 2048;  // a power of two: fast.S indexes by shifting
struct alignas(kTcsStateSize) TcsState {
  std::atomic<u32> active;   // offset 0 (fast.S): 0, TCS_INSIDE, or TCS_ENTERING until the entry epoch is stored
  u32 cssa;                  // 4
  Thread* thread;            // 8: who is inside
  u64 address;               // 16: of the TCS page
  u64 aep;                   // 24
  u64 fs_base;               // 32
  u64 gs_base;               // 40
  u64 entry;                 // 48: linear address of OENTRY
  u64 count_eenter;          // 56
  u64 count_eexit;           // 64
  u64 count_fast;            // 72
  u64 count_eresume;         // 80
  std::atomic<u64> entry_epoch;  // 88
  u64 flags;
  u64 ossa;
  u32 nssa;
  u32 slot;
  bool used;
  bool gs_page_marked;  // mark_gs_page() has been here
  Counters counters;
};

class SpinLock {
 public:
  void lock() {
    while (held_.exchange(true, std::memory_order_acquire)) {
      while (held_.load(std::memory_order_relaxed)) __builtin_ia32_pause();
    }
  }
  void unlock() { held_.store(false, std::memory_order_release); }

 private:
  std::atomic<bool> held_{false};
};

struct State {
  u64 base = 0;
  u64 size = 0;
  u64 reserved_start = 0;  // start of the host mapping (base, or 64 KiB if the base is 0)
  Options options;
  sgx::Secs secs{};
  sgx::Device device{};
  std::optional<sgx::Measurement> measurement;
  sgx::EnclaveIdentity identity{};
  u64 frame_bytes = 0;
  u64 xsave_bytes = 0;  // of SECS.ATTRIBUTES.XFRM
  std::atomic<bool> initialized{false};
  std::atomic<Entry>* epcm = nullptr;  // size / kPage entries, sparse
  TcsState* tcs = nullptr;             // kMaxTcs slots, sparse
  std::atomic<u32> tcs_slots{1};       // slots ever used: [1, tcs_slots)
  std::atomic<u64> epoch{1};
  std::mutex encls;
  SpinLock pte;
  std::map<u64, u64> added;  // runs of pages added before EINIT: start -> end (addresses)
  PageFaultHook hook = nullptr;
  void* hook_context = nullptr;
  Counters counters{};  // of ENCLS leaves, and of TCSs that are gone
  std::atomic<u64> lazy_faults{0};
  // Host mappings (pagetable.cc), under `pte`. Pages below `forgettable_end` hold nothing that must not fault: neither kernel nor TCSs.
  u64 mappings = 1;
  u64 max_mappings = 0;
  u64 forgettable_end = 0;
  u8* regions = nullptr;  // for each kRegion bytes of ELRANGE: whether a page there may have page table bits
  std::atomic<u64> tables_forgotten{0};
  // Mode fast (fast.cc).
  u64 pointer_page = 0;  // address of the emulator's page inside ELRANGE, 0 = none
  u32 patched = 0;
  u64* sites = nullptr;  // addresses of the rewritten ENCLU sites, rising
  void* thunks = nullptr;
  std::size_t thunks_size = 0;

  ~State();
  bool contains(u64 address) const { return address - base < size; }
  std::atomic<Entry>& entry(u64 address) const { return epcm[(address - base) / kPage]; }
  // The TCS at `address`, or nullptr if there is no valid TCS page.
  TcsState* tcs_at(u64 address) const;
};

// The enclave whose ELRANGE holds `address`, or nullptr.
State* find_state(u64 address);
void register_state(State* state);
void unregister_state(State* state);

// ---- Host page tables (pagetable.cc). All need State::pte; page-aligned addresses, [start, end).
// Brings the page tables of the range to what the EPCM allows.
void sync_pages_locked(State& state, u64 start, u64 end);
// The page tables of the range allow this from now on.
void note_tables_locked(State& state, u64 start, u64 end, u32 allowed);
// sync_pages_locked() of the run of pages around `address` that want the same as its page and do not have it yet (at most kMaxSyncRun
// to each side).
void sync_run_locked(State& state, u64 address);
inline constexpr u64 kMaxSyncRun = 4096;
inline constexpr u64 kRegion = u64{2} << 20;
// How many mappings ELRANGE may be cut into if nobody says otherwise.
u64 default_max_mappings();
// True if the EPCM allows an access with the error code's W/I bits and the page tables are now up to date: try again.
bool resolve_fault(State& state, u64 address, u32 error_code);
// Drops the content of pages (they read as zero when they come back).
void drop_pages(u64 start, u64 end);
// Writes host or enclave memory through /proc/self/mem, whatever its page protection. False: refused.
bool write_through(u64 address, const void* from, std::size_t size);
bool read_through(u64 address, void* to, std::size_t size);

// Asynchronous signals are blocked while it lives: for locks that signal handlers take too. A plain object for host code.
class SignalBlock {
 public:
  SignalBlock();
  ~SignalBlock();
  SignalBlock(const SignalBlock&) = delete;
  SignalBlock& operator=(const SignalBlock&) = delete;

 private:
  sigset_t old_;
};

// ---- Leaves as the processor plays them (leaf.cc). Operands are register values.
struct LeafContext {
  State& state;
  TcsState& tcs;
};
Status leaf_eaccept(const LeafContext& context, u64 secinfo, u64 page);
Status leaf_eacceptcopy(const LeafContext& context, u64 secinfo, u64 page, u64 source);
Status leaf_emodpe(const LeafContext& context, u64 secinfo, u64 page);
Status leaf_ereport(const LeafContext& context, u64 targetinfo, u64 data, u64 output);
Status leaf_egetkey(const LeafContext& context, u64 request, u64 output);
// An access by a leaf to [address, +size) of a page that must be regular, accepted and allow `needed`. The range lies in one page.
Status check_access(const State& state, u64 address, u32 needed);
// What EADD and EACCEPT make of a TCS page's content.
void load_tcs(State& state, u64 address, const sgx::Tcs& tcs, u32 slot);
// The error code of a page fault on an access that the EPCM or the page tables refuse.
u32 fault_error_code(const State& state, u64 address, bool write);

constexpr bool is_canonical(u64 address) {
  return static_cast<std::int64_t>(address << 16) >> 16 == static_cast<std::int64_t>(address);
}

// ---- Mode fast (fast.cc).
// Length of a rewritten site: ENCLU and the nop behind it.
inline constexpr u64 kSiteSize = 9;
// Rewrites the ENCLU sites of executable pages. Called once, in EINIT; needs State::pte.
void patch_sites(State& state);
// True if `address` is a rewritten site.
bool is_patched_site(const State& state, u64 address);
// Undoes what patch_sites() left outside the enclave.
void release_sites(State& state);

}  // namespace emulator
#endif  // EMULATOR_STATE_H
