// What the runtime needs from a machine that runs enclaves. Two implementations: HardwareDevice (the Linux driver) and
// EmulatorDevice (emulator/). All offsets are from the start of ELRANGE, which is address 0.
//
// Life: create -> add_pages... -> init -> the enter function and the EDMM calls -> destruction (unmaps ELRANGE; no thread may be
// inside). The build calls are made by one thread; after init every call may be made by any thread at any time.
#ifndef HOST_ENCLAVE_DEVICE_H
#define HOST_ENCLAVE_DEVICE_H

#include <signal.h>
#include <ucontext.h>

#include <cstdint>
#include <memory>
#include <string_view>

#include "host/result.h"
#include "sgx/arch.h"

namespace host {

// A run of pages with one SECINFO. `source` is page aligned and holds `length` bytes; null: the pages are zero.
struct PageBatch {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;  // bytes, a multiple of 4096, not 0
  const void* source = nullptr;
  std::uint64_t secinfo_flags = 0;  // sgx::secinfo_flags()
  bool measure = true;
};

// What a device did, for --stats. Only what the runtime cannot count itself; unknown values stay 0.
struct DeviceCounters {
  std::uint64_t eenter = 0;
  std::uint64_t eexit = 0;
  std::uint64_t eresume = 0;
  std::uint64_t aex_interrupt = 0;  // host signals and timer interrupts
  std::uint64_t aex_page_fault = 0;
  std::uint64_t aex_undefined = 0;  // #UD that is neither of the next two
  std::uint64_t aex_syscall = 0;    // raw `syscall`
  std::uint64_t aex_cpuid = 0;
  std::uint64_t aex_other = 0;
  std::uint64_t eaccept = 0;
  std::uint64_t eacceptcopy = 0;
  std::uint64_t emodpe = 0;
  std::uint64_t ereport = 0;
  std::uint64_t egetkey = 0;
  std::uint64_t pages_added = 0;  // EADD
  std::uint64_t pages_augmented = 0;
  std::uint64_t pages_restricted = 0;
  std::uint64_t pages_retyped = 0;
  std::uint64_t pages_removed = 0;
};

class EnclaveDevice {
 public:
  EnclaveDevice() = default;
  virtual ~EnclaveDevice() = default;
  EnclaveDevice(const EnclaveDevice&) = delete;
  EnclaveDevice& operator=(const EnclaveDevice&) = delete;

  // For messages: "SGX hardware", "the emulator (fast)".
  virtual std::string_view name() const = 0;

  // The XFRM bits that SECS.ATTRIBUTES may have on this machine.
  virtual std::uint64_t supported_xfrm() const = 0;

  // True if the EDMM calls below work here (SGX2 processor and driver).
  virtual bool has_edmm() const = 0;

  // ECREATE. Reserves ELRANGE (from 64 KiB up) in this process: nothing of the process may lie in it. secs.base must be 0.
  virtual Status create(const sgx::Secs& secs) = 0;

  // EADD of every page, and EEXTEND if `measure`.
  virtual Status add_pages(const PageBatch& batch) = 0;

  // EINIT, then ELRANGE is mapped with the permissions of its pages; with EDMM unused ranges are open for augmenting.
  virtual Status init(const sgx::Sigstruct& sigstruct) = 0;

  // EDMM calls; each returns an errno value > 0 or 0, and is complete for the whole range on 0. Ranges outside ELRANGE and
  // unaligned ones are EINVAL. Machines without SGX2: ENODEV.
  virtual int augment(std::uint64_t offset, std::uint64_t length) = 0;  // pages are PENDING afterwards; present ones are skipped
  virtual int restrict_permissions(std::uint64_t offset, std::uint64_t length, std::uint64_t permissions) = 0;
  virtual int modify_types(std::uint64_t offset, std::uint64_t length, sgx::PageType type) = 0;
  virtual int remove_pages(std::uint64_t offset, std::uint64_t length) = 0;

  // The function that enters, of the vDSO's shape. Null before init.
  virtual sgx::EnterFunction enter_function() const = 0;

  // Each thread that enters calls these once before its first entry and after its last one.
  virtual Status begin_thread() { return {}; }
  virtual void end_thread() {}

  // Installs `handler` for a signal that may arrive while a thread is in the enclave: by the time it runs, the state of the
  // enclave has been saved (AEX) and the context shows the thread at the AEP. SA_RESTART is not set.
  using SignalHandler = void (*)(int signal, siginfo_t* info, ucontext_t* context);
  virtual Status install_signal(int signal, SignalHandler handler) = 0;

  // In such a handler: true if the thread was in the enclave with this TCS, that is, returning from the handler does ERESUME.
  // Async-signal-safe.
  virtual bool is_at_aep(const ucontext_t& context, std::uint64_t tcs) const = 0;

  virtual DeviceCounters counters() const = 0;
};

}  // namespace host
#endif  // HOST_ENCLAVE_DEVICE_H
