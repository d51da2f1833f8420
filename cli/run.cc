#include "host/run.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "cli/verbs.h"
#include "image/instance.h"
#include "image/program_check.h"

namespace cli {
namespace {

int end_with(Exit code, const std::string& message) {
  print_error(message);
  return static_cast<int>(code);
}

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

// The names that Occlum.json lets the host set; the kernel checks the same.
std::vector<std::string> offered_environment(const image::OcclumConfig& config) {
  std::vector<std::string> offered;
  for (const std::string& name : config.env_untrusted) {
    const char* value = std::getenv(name.c_str());
    if (value != nullptr) offered.push_back(fmt::format("{}={}", name, value));
  }
  return offered;
}

// off, error, warn, info, debug, trace and the other names that upstream takes.
image::Result<std::uint32_t> parse_log_level(const std::string& text) {
  constexpr std::array<std::pair<std::string_view, std::uint32_t>, 9> kLevels = {
      {{"off", 0}, {"error", 1}, {"panic", 1}, {"fatal", 1}, {"warn", 2}, {"warning", 2}, {"info", 3}, {"debug", 4}, {"trace", 5}}};
  if (text.empty()) return 1U;
  const auto* const found = std::ranges::find(kLevels, text, &std::pair<std::string_view, std::uint32_t>::first);
  if (found == kLevels.end()) return image::fail("OCCLUM_LOG_LEVEL={}: expected off, error, warn, info, debug or trace", text);
  return found->second;
}

// The 64 bytes of --config-id.
image::Result<sgx::ConfigId> parse_config_id(const std::string& text) {
  sgx::ConfigId id = {};
  const std::size_t bytes = text.size() / 4 * 3;
  const std::size_t padding = text.ends_with("==") ? 2 : text.ends_with("=") ? 1 : 0;
  std::vector<unsigned char> decoded(bytes + 1);
  const int got = text.size() % 4 != 0 ? -1
                                       : EVP_DecodeBlock(decoded.data(), reinterpret_cast<const unsigned char*>(text.data()), static_cast<int>(text.size()));
  if (got < 0 || bytes - padding != id.size()) return image::fail("--config-id: expected 64 bytes in base64");
  std::copy_n(decoded.begin(), id.size(), id.begin());
  return id;
}

// A standard stream that was closed when the command started (see main.cc).
bool was_closed(int stream) {
  const int flags = ::fcntl(stream, F_GETFL);
  return flags < 0 || (flags & O_PATH) != 0;
}

// Fills in what the environment and the options say.
image::Status configure(const RunArguments& arguments, const image::OcclumConfig& config, host::RunOptions& options) {
  const host::Result<host::SgxMode> mode = host::parse_sgx_mode(variable("SGX_MODE"));
  if (!mode) return image::fail("{}", mode.error().message);
  options.mode = *mode;
  const host::Result<host::EmulatorMode> emulator = host::parse_emulator_mode(variable("OCCLUM_EMULATOR"));
  if (!emulator) return image::fail("{}", emulator.error().message);
  options.emulator = *emulator;
  options.log_level = IMAGE_TRY(parse_log_level(variable("OCCLUM_LOG_LEVEL")));
  options.stats = arguments.stats;
  options.argv = arguments.command;
  options.environment = offered_environment(config);
  for (int& stream : options.stdio) stream = was_closed(stream) ? -1 : stream;
  if ((!arguments.config_id.empty() || arguments.config_svn) && !config.metadata.enable_kss) {
    return image::fail("--config-id and --config-svn need metadata.enable_kss true in Occlum.json");
  }
  if (!arguments.config_id.empty()) options.config_id = IMAGE_TRY(parse_config_id(arguments.config_id));
  options.config_svn = arguments.config_svn.value_or(0);
  return {};
}

}  // namespace

int run(const RunArguments& arguments) {
  const image::InstancePaths paths{"."};
  if (const image::Status instance = image::check_instance(paths); !instance) return end_with(Exit::not_started, instance.error());
  std::error_code error;
  if (!std::filesystem::exists(paths.enclave_file(), error) || !std::filesystem::exists(paths.image_file(), error)) {
    return end_with(Exit::not_started, "this instance is not built: run `occlum build` first");
  }
  const image::Result<image::OcclumConfig> config = image::load_occlum_json(paths.config());
  if (!config) {
    print_errors(config.error());
    return static_cast<int>(Exit::not_started);
  }
  if (!image::config_is_built(paths)) print_warning("Occlum.json has changed since the last build: run `occlum build` to make it take effect");
  const std::string& program = arguments.command.front();
  if (image::program_has_changed(paths, program)) {
    print_warning(fmt::format("image{} has changed since the last build: run `occlum build` to make it take effect", program));
  }
  // What is verified here does not depend on the system's openssl.cnf, so it is not read.
  OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, nullptr);
  host::RunOptions options;
  options.instance = paths.root.string();
  if (const image::Status configured = configure(arguments, *config, options); !configured) return end_with(Exit::usage, configured.error());
  const image::Result<image::ProgramCheck> check = image::check_program(paths, *config, program);
  if (!check) return end_with(Exit::not_started, check.error());
  if (check->verdict == image::ProgramVerdict::not_allowed) return end_with(Exit::not_allowed, check->message);
  if (check->verdict == image::ProgramVerdict::not_found) return end_with(Exit::not_found, check->message);
  const host::Result<int> code = host::run_program(options);
  if (!code) return end_with(Exit::not_started, code.error().message);
  return *code;
}

}  // namespace cli
