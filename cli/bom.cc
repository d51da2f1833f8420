#include "image/bom.h"

#include "cli/installation.h"
#include "cli/verbs.h"

namespace cli {

int copy_bom(const BomArguments& arguments) {
  Progress progress(arguments.verbose || arguments.dry_run);
  image::BomOptions options;
  options.file = arguments.file;
  options.root = arguments.root;
  for (const std::string& folder : arguments.include_folders) options.include_folders.emplace_back(folder);
  if (const std::filesystem::path folder = template_folder(); !folder.empty()) options.include_folders.push_back(folder);
  options.dry_run = arguments.dry_run;
  options.log = [&](const std::string& text) { progress.step(text); };
  options.warn = [&](const std::string& text) {
    progress.done();
    print_warning(text);
  };
  const image::Status copied = image::copy_bom(options);
  progress.done();
  if (copied) return static_cast<int>(Exit::ok);
  print_error(copied.error());
  return static_cast<int>(Exit::failure);
}

}  // namespace cli
