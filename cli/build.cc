#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdlib>
#include <string>

#include "cli/installation.h"
#include "cli/verbs.h"
#include "image/instance.h"

namespace cli {
namespace {

int report(const std::string& message) {
  print_error(message);
  return static_cast<int>(Exit::failure);
}

int refuse(const std::string& message) {
  print_error(message);
  return static_cast<int>(Exit::usage);
}

// Y, YES, TRUE, 1 and their opposites, in any case. Nothing for other texts.
std::optional<bool> yes_or_no(std::string text) {
  for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  if (text == "Y" || text == "YES" || text == "TRUE" || text == "1") return true;
  if (text == "N" || text == "NO" || text == "FALSE" || text == "0") return false;
  return std::nullopt;
}

image::Result<std::uint64_t> build_epoch() {
  const char* text = std::getenv("SOURCE_DATE_EPOCH");
  if (text == nullptr) return image::kDefaultEpoch;
  const std::string_view digits = text;
  std::uint64_t epoch = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), epoch);
  if (error != std::errc() || end != digits.data() + digits.size() || epoch > UINT32_MAX) {
    return image::fail("SOURCE_DATE_EPOCH={}: expected seconds since 1970, at most {}", digits, UINT32_MAX);
  }
  return epoch;
}

// What upstream's command accepts and this one does not do. Empty if there is nothing of it.
std::string unsupported(const BuildArguments& arguments) {
  if (!arguments.image_key.empty() || arguments.buildin_image_key) {
    return "--image-key and --buildin-image-key: encrypted images are not supported yet (the image is protected in integrity: anyone can read it, nobody can change it)";
  }
  if (!arguments.sign_tool.empty()) return "--sign-tool: signing is built in; give the key with --sign-key";
  if (arguments.sgx_mode == "HYPER") return "--sgx-mode HYPER: HyperEnclave is not supported; use HW or SIM (the built enclave is the same for both)";
  return {};
}

image::Result<std::optional<bool>> edmm_choice(const BuildArguments& arguments) {
  const char* variable = std::getenv("ENABLE_EDMM");
  if (!arguments.enable_edmm.empty()) {
    const std::optional<bool> choice = yes_or_no(arguments.enable_edmm);
    if (!choice) return image::fail("--enable-edmm {}: expected Y or N", arguments.enable_edmm);
    return choice;
  }
  if (variable == nullptr || *variable == '\0') return std::nullopt;
  const std::optional<bool> choice = yes_or_no(variable);
  if (!choice) return image::fail("ENABLE_EDMM={}: expected Y or N", variable);
  return choice;
}

// As a shell takes it for one word.
std::string quoted(const std::string& text) {
  const auto plain = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || std::string_view("/._-+,:@%=").contains(c); };
  if (std::ranges::all_of(text, plain)) return text;
  std::string word = "'";
  for (const char c : text) word += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return word + "'";
}

std::string megabytes(std::uint64_t bytes) { return fmt::format("{:.1f} MB", static_cast<double>(bytes) / (1024.0 * 1024.0)); }

void announce(const image::BuildResult& result, const image::InstancePaths& paths, bool debuggable) {
  if (result.image_was_current && result.enclave_was_current) {
    print_notice("nothing has changed since the last build (-f builds anyway)");
  } else {
    print_notice(fmt::format("built {} and {} ({}, {} programs, {} system-call sites patched, {} left to trap)", paths.enclave_file().string(),
                             paths.image_file().string(), megabytes(result.stats.image_size), result.stats.elf_files, result.stats.patched_sites,
                             result.stats.trapping_sites));
  }
  if (debuggable) print_notice("metadata.debuggable is true: the host can read the enclave's memory; set it to false for production");
  fmt::print("MRENCLAVE {}\nMRSIGNER  {}\n", result.mrenclave, result.mrsigner);
}

}  // namespace

int make_instance(const std::string& folder, const std::string& init_ra) {
  if (!init_ra.empty()) return refuse(fmt::format("--init-ra {}: fetching secrets at boot is not supported yet", init_ra));
  const image::InstancePaths paths{std::filesystem::path(folder)};
  if (const image::Status made = image::init_instance(paths); !made) return report(made.error());
  const std::string change = folder == "." ? "" : fmt::format("cd {} && ", quoted(folder));
  print_notice(fmt::format("made the instance {}", folder == "." ? "here" : folder));
  print_notice(fmt::format("next: {}cp PROGRAM image/bin/ && occlum build && occlum run /bin/PROGRAM", change));
  return static_cast<int>(Exit::ok);
}

int build(const BuildArguments& arguments) {
  if (const std::string reason = unsupported(arguments); !reason.empty()) return refuse(reason);
  const image::Result<std::optional<bool>> edmm = edmm_choice(arguments);
  if (!edmm) return refuse(edmm.error());
  const image::Result<std::uint64_t> epoch = build_epoch();
  if (!epoch) return refuse(epoch.error());
  const image::InstancePaths paths{"."};
  if (const image::Status instance = image::check_instance(paths); !instance) return report(instance.error());
  const image::Result<image::OcclumConfig> config = image::load_occlum_json(paths.config());
  if (!config) {
    print_errors(config.error());
    return static_cast<int>(Exit::failure);
  }
  const image::Result<std::filesystem::path> kernel = find_kernel();
  if (!kernel) return report(kernel.error());
  const image::Result<std::filesystem::path> key = signing_key(arguments.sign_key);
  if (!key) return report(key.error());
  Progress progress(arguments.verbose);
  image::BuildOptions options;
  options.kernel = *kernel;
  options.signing_key = *key;
  options.enable_edmm = *edmm;
  options.force = arguments.force;
  options.keep_modes = arguments.keep_modes;
  options.autodep = arguments.autodep;
  options.epoch = *epoch;
  options.progress = [&](const std::string& text) { progress.step(text); };
  options.warn = [&](const std::string& text) {
    progress.done();
    print_warning(text);
  };
  const image::Result<image::BuildResult> result = image::build_instance(paths, options);
  progress.done();
  if (!result) return report(result.error());
  announce(*result, paths, config->metadata.debuggable);
  return static_cast<int>(Exit::ok);
}

}  // namespace cli
