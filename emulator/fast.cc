#include "emulator/thread.h"

namespace emulator {
void patch_sites(State&) {}
bool settle_fast_transition(Thread&, const Frame&, bool) { return false; }
int emulator_fast_prepare(Thread&, State&, sgx::EnclaveRun*, u32);
int emulator_fast_prepare(Thread&, State&, sgx::EnclaveRun*, u32) { return 0; }
}
