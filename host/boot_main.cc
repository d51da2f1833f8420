// occlum-boot: boots an enclave file with an image, without an instance folder. A tool for working on the kernel.
#include <CLI/CLI.hpp>

#include <cstdio>
#include <string>
#include <vector>

#include "host/run.h"

namespace {

int report(const host::Error& error) {
  std::fprintf(stderr, "occlum-boot: %s\n", error.message.c_str());
  return 125;
}

}  // namespace

int main(int argc, char** argv) {
  host::RunOptions options;
  std::string mode = "fast";
  std::string sgx;
  CLI::App app("Boots an enclave file with an image and runs a program.");
  app.add_option("--enclave", options.enclave, "the enclave file")->required();
  app.add_option("--image", options.image, "the image file")->required();
  app.add_option("--mode", mode, "emulator mode: fast or strict");
  app.add_option("--sgx", sgx, "HW or SIM; empty: hardware if it works");
  app.add_option("--log", options.log_level, "kernel log level, 0 (off) to 5 (trace)");
  app.add_option("--vcpus", options.vcpus, "this many virtual CPUs, if the enclave has them (default: one for each CPU)");
  app.add_option("--env", options.environment, "NAME=value for the program (repeatable)")->take_all();
  app.add_flag("--stats", options.stats, "print counters at the end");
  app.add_flag("--assert", options.emulator_assertions, "let the emulator check the kernel's exits");
  app.add_flag("--quiet", options.quiet, "no line about the emulator");
  app.add_option("argv", options.argv, "the program in the image and its arguments")->required();
  CLI11_PARSE(app, argc, argv);

  const auto emulator_mode = host::parse_emulator_mode(mode);
  if (!emulator_mode) return report(emulator_mode.error());
  options.emulator = *emulator_mode;
  const auto sgx_mode = host::parse_sgx_mode(sgx);
  if (!sgx_mode) return report(sgx_mode.error());
  options.mode = *sgx_mode;
  const auto code = host::run_program(options);
  return code ? *code : report(code.error());
}
