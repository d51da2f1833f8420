// An instance: a folder with Occlum.json, image/ and, after a build, build/enclave.bin, build/image.bin and build/image.json.
#ifndef IMAGE_INSTANCE_H
#define IMAGE_INSTANCE_H

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "image/image_file.h"
#include "image/occlum_json.h"
#include "image/result.h"
#include "sgx/sigstruct.h"

namespace image {

// Names inside an instance folder.
struct InstancePaths {
  explicit InstancePaths(std::filesystem::path folder) : root(std::move(folder)) {}
  std::filesystem::path root;
  std::filesystem::path config() const { return root / "Occlum.json"; }
  std::filesystem::path image() const { return root / "image"; }
  std::filesystem::path build() const { return root / "build"; }
  std::filesystem::path enclave_file() const { return build() / "enclave.bin"; }
  std::filesystem::path image_file() const { return build() / "image.bin"; }
  std::filesystem::path bill() const { return build() / "image.json"; }
  std::filesystem::path state() const { return root / ".occlum"; }
  std::filesystem::path stamp() const { return state() / "build.json"; }
  std::filesystem::path lock() const { return state() / "lock"; }
};

struct BuildOptions {
  std::filesystem::path kernel;            // occlum-kernel.elf
  std::filesystem::path signing_key;       // PEM
  std::optional<bool> enable_edmm;         // overrides feature.enable_edmm
  bool force = false;                      // build even if nothing changed
  bool keep_modes = false;                 // see ErofsOptions
  bool autodep = false;                    // first copy what programs in image/ need and miss from this machine
  std::uint64_t epoch = kDefaultEpoch;
  std::function<void(const std::string&)> progress = [](const std::string&) {};
  std::function<void(const std::string&)> warn = [](const std::string&) {};
};

struct BuildResult {
  bool image_was_current = false;
  bool enclave_was_current = false;
  std::string mrenclave;  // hexadecimal
  std::string mrsigner;
  ImageStats stats;
};

// The error for a folder that is no instance names what to do.
Status check_instance(const InstancePaths& paths);

// Makes the skeleton of an instance: Occlum.json, image/ and run/. Error if the folder holds one already.
Status init_instance(const InstancePaths& paths);

// Builds what is out of date: the image file, the enclave file, the bill. Two builds of one instance at once exclude each other.
Result<BuildResult> build_instance(const InstancePaths& paths, const BuildOptions& options);

// True if Occlum.json is what the last build used (or nothing is known about that build).
bool config_is_built(const InstancePaths& paths);

// What a finished build needs to be up to date. `changed`: the products are not the files that the last build wrote.
enum class BuildState : std::uint8_t { missing, changed, stale, current };
// Compares image/, Occlum.json and the products with the last build.
Result<BuildState> build_state(const InstancePaths& paths);

}  // namespace image
#endif  // IMAGE_INSTANCE_H
