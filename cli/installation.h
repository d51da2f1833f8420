// Where the parts of the product and the user's own files are.
#ifndef CLI_INSTALLATION_H
#define CLI_INSTALLATION_H

#include <filesystem>

#include "image/result.h"

namespace cli {

// The folder of the running executable, links followed.
image::Result<std::filesystem::path> executable_folder();

// The kernel: OCCLUM_KERNEL in the environment, else lib/occlum/ beside the executable's bin/, else the build tree.
image::Result<std::filesystem::path> find_kernel();

// The BOM templates of the installation (etc/template), empty if there are none.
std::filesystem::path template_folder();

// The user's folder ~/.config/occlum (XDG_CONFIG_HOME is honoured); it is made with mode 0700 if needed.
image::Result<std::filesystem::path> user_folder();

// The key to sign with: `given` if not empty, else the user's own key, which is made on first use (and announced).
image::Result<std::filesystem::path> signing_key(const std::string& given);

}  // namespace cli
#endif  // CLI_INSTALLATION_H
