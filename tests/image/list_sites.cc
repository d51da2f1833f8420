// Prints the patch sites of a program for native_patch_test.py: one line each,
// "file_offset kind displaced rip_disp_at rip_next_at pad".
#include <cstdio>

#include "image/files.h"
#include "image/patch_sites.h"

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const auto bytes = image::read_file(argv[1]);
  if (!bytes) return 1;
  const auto elf = image::ElfFile::parse(*bytes);
  if (!elf) return 1;
  const auto patches = image::patch_program(*elf);
  if (!patches) return 1;
  for (const host_abi::PatchSite& site : patches->sites) {
    std::printf("%u %u %u %u %u %d\n", site.file_offset, site.kind, site.displaced, site.rip_disp_at, site.rip_next_at, site.pad);
  }
  return 0;
}
