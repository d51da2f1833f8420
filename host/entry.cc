#include "host/entry.h"

#include <cerrno>

extern "C" {
int host_enter_enclave(host::EntryFrame* frame);
void host_abandon_enclave();
}

namespace host {

Entry::Entry(sgx::EnterFunction function, std::uint64_t tcs) {
  run_.tcs = tcs;
  run_.user_handler = reinterpret_cast<std::uintptr_t>(&Entry::exit_handler);
  run_.user_data = reinterpret_cast<std::uintptr_t>(this);
  frame_.function = function;
  frame_.run = &run_;
}

int Entry::exit_handler(std::int64_t rdi, std::int64_t rsi, std::int64_t rdx, std::int64_t, std::int64_t, std::int64_t,
                        sgx::EnclaveRun* run) {
  // At EEXIT these are the enclave's registers; after a fault they are the processor's and mean nothing.
  ExitEvent& event = reinterpret_cast<Entry*>(run->user_data)->event_;
  event.rdi = static_cast<std::uint64_t>(rdi);
  event.rsi = static_cast<std::uint64_t>(rsi);
  event.rdx = static_cast<std::uint64_t>(rdx);
  return 0;
}

ExitEvent Entry::enter(sgx::EncluLeaf leaf, std::uint64_t rdi, std::uint64_t rsi) {
  frame_.leaf = static_cast<std::uint64_t>(leaf);
  frame_.rdi = rdi;
  frame_.rsi = rsi;
  event_ = {};
  const int result = host_enter_enclave(&frame_);
  if (result == -ECANCELED) {
    event_.kind = ExitEvent::Kind::abandoned;
  } else if (result != 0) {
    event_.kind = ExitEvent::Kind::refused;
    event_.rdi = static_cast<std::uint64_t>(-result);
  } else if (run_.function != static_cast<std::uint32_t>(sgx::EncluLeaf::eexit)) {
    const bool entering = run_.function == static_cast<std::uint32_t>(sgx::EncluLeaf::eenter);
    event_.kind = entering ? ExitEvent::Kind::entry_fault : ExitEvent::Kind::fault;
    event_.vector = run_.exception_vector;
    event_.error_code = run_.exception_error_code;
    event_.address = run_.exception_addr;
  }
  return event_;
}

void Entry::abandon(ucontext_t& context) const {
  context.uc_mcontext.gregs[REG_RIP] = reinterpret_cast<greg_t>(&host_abandon_enclave);
  context.uc_mcontext.gregs[REG_RSP] = static_cast<greg_t>(frame_.landing_rsp);
}

}  // namespace host
