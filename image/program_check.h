// Whether a program can be started from a built image, and if not, what to do about it. The kernel decides again; this is for the
// message.
#ifndef IMAGE_PROGRAM_CHECK_H
#define IMAGE_PROGRAM_CHECK_H

#include <cstdint>
#include <string>

#include "image/erofs.h"
#include "image/instance.h"
#include "image/occlum_json.h"
#include "image/result.h"

namespace image {

enum class ProgramVerdict : std::uint8_t {
  good,         // nothing speaks against it
  not_allowed,  // entry_points, or not an executable file
  not_found,    // it, or its interpreter, is not in the image
};

struct ProgramCheck {
  ProgramVerdict verdict;
  std::string message;  // for the user, empty if good
};

// Checks the program at `path` (as inside). Error: the image file is missing or damaged.
Result<ProgramCheck> check_program(const InstancePaths& paths, const OcclumConfig& config, const std::string& path);

// True if the program's file in image/ is surely another than when the image was built: it was written later. For a warning;
// `occlum status` looks at every file.
bool program_has_changed(const InstancePaths& paths, const std::string& path);

// True if one of the entry points is the path or a folder above it.
bool is_entry_point(const OcclumConfig& config, const std::string& path);

// One line for each program in the image folder that needs an interpreter or a library which is not there.
Result<std::vector<std::string>> missing_dependencies(const InstancePaths& paths);

}  // namespace image
#endif  // IMAGE_PROGRAM_CHECK_H
