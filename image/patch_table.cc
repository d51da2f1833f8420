#include "image/patch_table.h"

#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <thread>

#include "host_abi/patch_table.h"
#include "image/little_endian.h"
#include "image/patch_sites.h"

namespace image {
namespace {

struct Program {
  std::string path;
  ErofsInode inode;
};

// Each regular file once, with the first of its names, by inode number.
Result<std::vector<Program>> regular_files(const ErofsReader& image) {
  std::map<std::uint64_t, Program> by_nid;
  IMAGE_CHECK(image.walk([&](const std::string& path, const ErofsInode& inode) -> Status {
    if (S_ISREG(inode.mode) && inode.size != 0) by_nid.try_emplace(inode.nid, Program{path, inode});
    return {};
  }));
  std::vector<Program> files;
  for (auto& [nid, program] : by_nid) files.push_back(std::move(program));
  return files;
}

// Empty if the file is no program.
Result<std::optional<FilePatches>> patch_file(const ErofsReader& image, const Program& program) {
  const Bytes start = IMAGE_TRY(image.read_start(program.inode, sizeof(Elf64_Ehdr)));
  if (!ElfFile::is_program(start)) return std::nullopt;
  const Bytes bytes = IMAGE_TRY(image.read(program.inode));
  const Result<ElfFile> elf = ElfFile::parse(bytes);
  if (!elf) return std::nullopt;  // a damaged program does not run; the kernel says so when it is started
  Result<FilePatches> patches = patch_program(*elf);
  if (!patches) return fail("image{}: {}", program.path, patches.error());
  return std::move(*patches);
}

using Outcome = Result<std::optional<FilePatches>>;

// Scans the files with two threads; the outcomes are in the order of the files.
std::vector<Outcome> patch_files(const ErofsReader& image, const std::vector<Program>& files) {
  std::vector<Outcome> outcomes(files.size(), Outcome(std::nullopt));
  std::atomic<std::size_t> next = 0;
  const auto work = [&] {
    for (std::size_t i = next++; i < files.size(); i = next++) outcomes[i] = patch_file(image, files[i]);
  };
  const std::jthread helper(work);
  work();
  return outcomes;
}

template <class T>
void append(Bytes& out, const T& value) {
  const auto raw = bytes_of(value);
  out.insert(out.end(), raw.begin(), raw.end());
}

}  // namespace

Result<PatchTable> make_patch_table(const ErofsReader& image) {
  const std::vector<Program> files = IMAGE_TRY(regular_files(image));
  std::vector<Outcome> outcomes = patch_files(image, files);
  PatchTable table;
  std::vector<host_abi::PatchFile> entries;
  Bytes sites;
  for (std::size_t i = 0; i < files.size(); ++i) {
    const std::optional<FilePatches> patches = IMAGE_TRY(std::move(outcomes[i]));
    if (!patches) continue;
    ++table.files;
    table.patched_sites += patches->sites.size();
    table.trapping_sites += patches->trapping();
    if (patches->sites.empty()) continue;
    entries.push_back({.nid = files[i].inode.nid, .sites = sites.size(), .site_count = static_cast<std::uint32_t>(patches->sites.size()), .trapping_sites = patches->trapping()});
    for (const host_abi::PatchSite& site : patches->sites) append(sites, site);
  }
  const std::uint64_t sites_at = sizeof(host_abi::PatchIndex) + entries.size() * sizeof(host_abi::PatchFile);
  host_abi::PatchIndex index = {};
  index.magic = host_abi::kPatchMagic;
  index.version = 1;
  index.file_count = static_cast<std::uint32_t>(entries.size());
  index.total_size = sites_at + sites.size();
  append(table.bytes, index);
  for (host_abi::PatchFile& entry : entries) {
    entry.sites += sites_at;
    append(table.bytes, entry);
  }
  table.bytes.insert(table.bytes.end(), sites.begin(), sites.end());
  return table;
}

}  // namespace image
