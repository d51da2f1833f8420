// Runs a program in an enclave: the whole of `occlum run` behind one function.
#ifndef HOST_RUN_H
#define HOST_RUN_H

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "host/driver_calls.h"
#include "host/enclave_device.h"
#include "host/result.h"
#include "sgx/arch.h"

namespace host {

enum class SgxMode : std::uint8_t {
  automatic,  // hardware if it works, else the emulator
  hardware,
  simulation,
};
enum class EmulatorMode : std::uint8_t { fast, strict };

struct RunOptions {
  // An instance folder after `occlum build`, or, if the paths below are set, not needed.
  std::string instance;
  std::string enclave;  // empty: instance/build/enclave.bin
  std::string image;    // empty: instance/build/image.bin
  std::vector<std::string> argv;         // [0] is the path of the program in the image
  std::vector<std::string> environment;  // "NAME=value", what the host offers; the kernel decides
  SgxMode mode = SgxMode::automatic;
  EmulatorMode emulator = EmulatorMode::fast;
  bool emulator_assertions = false;  // check the kernel's exits (tests)
  std::uint32_t log_level = 1;       // 0 off, 1 error, 2 warn, 3 info, 4 debug, 5 trace
  std::uint32_t vcpus = 0;           // 0: as many as CPUs are online; never more than the enclave has
  bool stats = false;                // print counters to stderr at the end
  bool quiet = false;                // no line about the emulator
  bool forward_signals = true;
  sgx::ConfigId config_id{};  // KSS values of this launch; all zero: none
  std::uint16_t config_svn = 0;
  int stdio[3] = {0, 1, 2};  // descriptors behind the host handles 0, 1 and 2; -1: none
};

// "HW", "SIM" or empty (automatic); "fast", "strict" or empty (fast). The values of SGX_MODE and OCCLUM_EMULATOR.
Result<SgxMode> parse_sgx_mode(std::string_view text);
Result<EmulatorMode> parse_emulator_mode(std::string_view text);

// The device for these options. `calls` reaches the driver (null: this machine's).
Result<std::unique_ptr<EnclaveDevice>> choose_device(const RunOptions& options, bool edmm,
                                                     std::unique_ptr<DriverCalls> calls = nullptr);

// Loads the enclave, runs it to its end and returns the exit code of the first process (0..255). Errors: one line for the user.
// One instance at a time per process; the terminal is given back as it was.
// `device`: null = what choose_device() gives.
Result<int> run_program(const RunOptions& options, std::unique_ptr<EnclaveDevice> device = nullptr);

}  // namespace host
#endif  // HOST_RUN_H
