// `occlum`: the command line. Parses arguments, calls the verb, turns everything that can go wrong into a message and an exit code.
#include <fcntl.h>
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cli/verbs.h"
#include "image/files.h"

namespace cli {
namespace {

constexpr const char* kFooter =
    "Files: Occlum.json configures an instance, image/ holds its programs, build/ what was built.\n"
    "Environment: SGX_MODE=HW|SIM, OCCLUM_EMULATOR=fast|strict, OCCLUM_LOG_LEVEL, ENABLE_EDMM, SOURCE_DATE_EPOCH (see man occlum).";

// CLI11 knows nothing of the arguments behind a prefix command.
class RunFormatter : public CLI::Formatter {
 public:
  std::string make_usage(const CLI::App*, std::string name) const override { return fmt::format("Usage: {} [OPTIONS] PROGRAM [ARGUMENTS...]\n", name); }
};

// The verbs of upstream that come later.
struct LaterVerb {
  const char* name;
  const char* what;
};
constexpr std::array<LaterVerb, 8> kLaterVerbs = {{{"start", "boots an instance that stays"},
                                                   {"exec", "runs a program in a started instance"},
                                                   {"stop", "ends a started instance"},
                                                   {"package", "packs an instance for deployment"},
                                                   {"mount", "shows the instance's files on the host"},
                                                   {"gdb", "debugs a program in the enclave"},
                                                   {"quote", "makes an attestation quote"},
                                                   {"verify", "checks an attestation quote"}}};

using Action = std::function<int()>;

// The number of a standard stream that the caller closed is taken by a descriptor that can neither read nor write, so that no file of
// ours gets it and receives messages. `run` knows it by O_PATH and leaves the stream closed for the program.
void occupy_closed_streams() {
  for (const int stream : {0, 1, 2}) {
    if (::fcntl(stream, F_GETFD) < 0 && errno == EBADF) [[maybe_unused]] const int placeholder = ::open("/dev/null", O_PATH);
  }
}

bool has_verb(const CLI::App& app, const std::string& name) {
  const auto verbs = app.get_subcommands([](const CLI::App*) { return true; });
  return std::ranges::any_of(verbs, [&](const CLI::App* verb) { return verb->check_name(name); });
}

// Drops a `--` between the options of `run` and the program: everything behind it is the program's in any case.
void drop_separator(std::vector<std::string>& arguments) {
  for (std::size_t i = 1; i < arguments.size() && arguments[i].starts_with('-'); ++i) {
    if (arguments[i] == "--") {
      arguments.erase(arguments.begin() + static_cast<std::ptrdiff_t>(i));
      return;
    }
    if (arguments[i] == "--config-id" || arguments[i] == "--config-svn") ++i;  // its value
  }
}

void add_instance_verbs(CLI::App& app, Action& action) {
  static std::string folder;
  static std::string init_ra;
  CLI::App* make = app.add_subcommand("new", "make a new instance in the folder PATH");
  make->add_option("PATH", folder, "the folder to make")->required();
  make->add_option("--init-ra", init_ra, "how secrets are fetched at boot (grpc_ratls, aecs)");
  make->callback([&] { action = [] { return make_instance(folder, init_ra); }; });
  CLI::App* init = app.add_subcommand("init", "make a new instance in the current folder");
  init->add_option("--init-ra", init_ra, "how secrets are fetched at boot (grpc_ratls, aecs)");
  init->callback([&] { action = [] { return make_instance(".", init_ra); }; });
}

void add_build_verb(CLI::App& app, Action& action) {
  static BuildArguments arguments;
  CLI::App* verb = app.add_subcommand("build", "build and sign the enclave and its image from image/ and Occlum.json");
  verb->add_option("--sgx-mode", arguments.sgx_mode, "HW or SIM: the built files are the same, `occlum run` chooses")
      ->check(CLI::IsMember({"HW", "SIM", "HYPER"}));
  verb->add_option("--sign-key", arguments.sign_key, "PEM file: RSA, 3072 bits, exponent 3 (default: a key of your own in ~/.config/occlum)");
  verb->add_option("--sign-tool", arguments.sign_tool, "not used: signing is built in");
  verb->add_option("--image-key", arguments.image_key, "encrypt the image (not supported yet)");
  verb->add_flag("--buildin-image-key", arguments.buildin_image_key, "put the image key into the enclave (not supported yet)");
  verb->add_option("--enable-edmm", arguments.enable_edmm, "Y or N: overrides feature.enable_edmm of Occlum.json");
  verb->add_flag("-f,--force", arguments.force, "build even if nothing has changed");
  verb->add_flag("--keep-modes", arguments.keep_modes, "keep the permission bits of group and others as they are in image/");
  verb->add_flag("--autodep", arguments.autodep, "copy libraries that programs in image/ need and miss from this machine");
  verb->add_flag("-v,--verbose", arguments.verbose, "print each step");
  verb->callback([&] { action = [] { return build(arguments); }; });
}

void add_run_verb(CLI::App& app, Action& action) {
  static RunArguments arguments;
  CLI::App* verb = app.add_subcommand("run", "boot the instance, run one program in it, exit with its code");
  verb->add_option("--config-id", arguments.config_id, "KSS CONFIGID, base64 (64 bytes)");
  verb->add_option("--config-svn", arguments.config_svn, "KSS CONFIGSVN");
  verb->add_flag("--stats", arguments.stats, "print exits by cause and their projected cost on hardware");
  verb->formatter(std::make_shared<RunFormatter>());
  verb->prefix_command();  // everything from the program's name on is the program's
  verb->callback([&, verb] {
    arguments.command = verb->remaining();
    if (arguments.command.empty()) throw CLI::RequiredError("PROGRAM");
    if (arguments.command.front().starts_with('-')) throw CLI::ExtrasError("run", {arguments.command.front()});
    action = [] { return run(arguments); };
  });
}

void add_bom_options(CLI::App& verb, BomArguments& arguments) {
  verb.add_option("-f,--file", arguments.file, "the BOM file (YAML)")->required();
  verb.add_option("--root", arguments.root, "the image folder to fill")->required();
  verb.add_option("-i,--include-dir", arguments.include_folders, "where `includes` are looked for (may be given again)");
  verb.add_flag("--dry-run", arguments.dry_run, "only print what would be done");
  verb.add_flag("-v,--verbose", arguments.verbose, "print each copy");
}

void add_bom_verbs(CLI::App& app, Action& action) {
  static BomArguments arguments;
  CLI::App* verb = app.add_subcommand("copy_bom", "copy programs and what they need into an image folder, as a BOM file says");
  verb->alias("bom");
  add_bom_options(*verb, arguments);
  verb->callback([&] { action = [] { return copy_bom(arguments); }; });
}

void add_other_verbs(CLI::App& app, Action& action) {
  static std::string what;
  static std::string path;
  CLI::App* print = app.add_subcommand("print", "print mrenclave or mrsigner of the built enclave");
  print->add_option("WHAT", what, "mrenclave or mrsigner")->required()->check(CLI::IsMember({"mrenclave", "mrsigner"}));
  print->callback([&] { action = [] { return print_identity(what); }; });
  CLI::App* key = app.add_subcommand("gen-image-key", "write a new random image key to a file");
  key->add_option("PATH", path, "the file to make")->required();
  key->callback([&] { action = [] { return generate_image_key(path); }; });
  app.add_subcommand("status", "say whether the instance is built and up to date")->callback([&] { action = [] { return status(); }; });
  for (const LaterVerb& later : kLaterVerbs) {
    CLI::App* verb = app.add_subcommand(later.name, fmt::format("(not yet) {}", later.what));
    verb->prefix_command();
    verb->callback([&, later] {
      action = [later] {
        print_error(fmt::format("{}: not supported yet by this version", later.name));
        return static_cast<int>(Exit::usage);
      };
    });
  }
}

// `help` is the command that explains the arguments.
int parse(CLI::App& app, const std::vector<std::string>& arguments, const std::string& help, const Action& action) {
  try {
    std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
    app.parse(reversed);
  } catch (const CLI::Success& success) {
    return app.exit(success);
  } catch (const CLI::ParseError& error) {
    print_error(fmt::format("{} (see `{}`)", error.what(), help));
    return static_cast<int>(Exit::usage);
  }
  return action ? action() : static_cast<int>(Exit::ok);
}

int run_copy_bom(const std::vector<std::string>& arguments) {
  static BomArguments bom;
  CLI::App app("Copies programs and what they need into an image folder, as a BOM file says", "copy_bom");
  app.set_version_flag("--version", "copy_bom " OCCLUM_VERSION_TEXT);
  add_bom_options(app, bom);
  return parse(app, arguments, "copy_bom --help", [] { return copy_bom(bom); });
}

int run_occlum(std::vector<std::string> arguments) {
  CLI::App app("Occlum runs Linux programs in an SGX enclave", "occlum");
  Action action;
  app.set_version_flag("--version", "occlum " OCCLUM_VERSION_TEXT);
  app.footer(kFooter);
  app.require_subcommand(0, 1);
  add_instance_verbs(app, action);
  add_build_verb(app, action);
  add_run_verb(app, action);
  add_bom_verbs(app, action);
  add_other_verbs(app, action);
  if (arguments.empty()) arguments = {"help"};
  if (arguments.front() == "help") {
    // `occlum help VERB` is `occlum VERB --help`.
    std::vector<std::string> rest(arguments.begin() + 1, arguments.end());
    rest.emplace_back("--help");
    arguments = std::move(rest);
  }
  const std::string verb = arguments.front();
  if (!verb.starts_with('-') && !has_verb(app, verb)) {
    print_error(fmt::format("{}: no such verb (see `occlum help`)", verb));
    return static_cast<int>(Exit::usage);
  }
  if (verb == "run") drop_separator(arguments);
  const auto run_action = [&action] { return action ? action() : static_cast<int>(Exit::ok); };
  return parse(app, arguments, verb.starts_with('-') ? "occlum --help" : fmt::format("occlum {} --help", verb), run_action);
}

// What was printed must have arrived: a full disk is not a success.
int finish_output(int code) {
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return code;
  print_error(fmt::format("cannot write to standard output: {}", image::errno_text(errno)));
  return code == 0 ? static_cast<int>(Exit::failure) : code;
}

}  // namespace
}  // namespace cli

int main(int argc, char** argv) {
  cli::occupy_closed_streams();
  try {
    const std::vector<std::string> arguments(argv + (argc > 0 ? 1 : 0), argv + argc);
    const std::string name = argc > 0 ? std::filesystem::path(argv[0]).filename().string() : "occlum";
    return cli::finish_output(name == "copy_bom" ? cli::run_copy_bom(arguments) : cli::run_occlum(arguments));
  } catch (const std::exception& error) {
    cli::print_error(error.what());
    return static_cast<int>(cli::Exit::failure);
  }
}
