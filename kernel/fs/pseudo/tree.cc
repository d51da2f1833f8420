#include "kernel/fs/pseudo/tree.h"

#include <algorithm>

#include "kernel/base/hash_map.h"
#include "kernel/task/thread.h"

namespace kernel {
namespace {

constexpr std::string_view kPerCpu = "cpu#";
constexpr std::size_t kLongestPath = 96;  // of the tables
constexpr std::uint64_t kOffsetsPerEntry = 256;  // room for one name per virtual CPU behind a table index

// The part of `path` below the directory `prefix`; nullopt if it does not lie there.
std::optional<std::string_view> below(std::string_view path, std::string_view prefix) {
  if (prefix.empty()) return path;
  if (!path.starts_with(prefix) || path.size() <= prefix.size() || path[prefix.size()] != '/') return std::nullopt;
  return path.substr(prefix.size() + 1);
}

std::string_view first_component(std::string_view path) { return path.substr(0, path.find('/')); }

// The number of "cpuN" if there is such a CPU.
std::optional<std::uint32_t> cpu_of(std::string_view name) {
  if (!name.starts_with("cpu") || (name.size() > 4 && name[3] == '0')) return std::nullopt;
  auto number = parse_decimal(name.substr(3));
  if (!number.ok()) return std::nullopt;
  const std::uint64_t value = std::move(number).release();
  if (value >= vcpu_count()) return std::nullopt;
  return static_cast<std::uint32_t>(value);
}

std::uint64_t number_of(std::string_view path, std::optional<std::uint32_t> cpu) {
  return (hash_text(path) ^ (cpu ? *cpu + 1 : 0)) & 0x0000'7fff'ffff'ffff;
}

class TreeFile final : public TextInode {
 public:
  TreeFile(Ref<Superblock> superblock, std::uint64_t ino, const TreeEntry& entry, std::uint32_t cpu)
      : TextInode(superblock, ino, mode_of(FileType::regular) | entry.mode | (entry.store != nullptr ? 0200U : 0U)), entry_(entry), cpu_(cpu) {}
  Result<> show(Text& out) override {
    if (entry_.show != nullptr) return entry_.show(out, cpu_);
    out << entry_.text << '\n';
    return {};
  }
  Result<> store(std::string_view text) override {
    if (entry_.store == nullptr) return Errno::perm;
    return entry_.store(text);
  }

 private:
  const TreeEntry entry_;
  const std::uint32_t cpu_;
};

class TreeLink final : public PseudoLink {
 public:
  TreeLink(Ref<Superblock> superblock, std::uint64_t ino, const TreeEntry& entry)
      : PseudoLink(superblock, ino, mode_of(FileType::symlink) | 0777), entry_(entry) {}
  Result<> target(Text& out) override {
    out << entry_.text;
    return {};
  }

 private:
  const TreeEntry entry_;
};

class TreeDirectory final : public PseudoInode {
 public:
  TreeDirectory(Ref<Superblock> superblock, std::uint64_t ino, TreeTable tree, std::string_view prefix, std::optional<std::uint32_t> cpu)
      : PseudoInode(superblock, ino, mode_of(FileType::directory) | 0555), tree_(tree), cpu_(cpu) {
    prefix_.append_clipped(prefix);
  }
  Result<Ref<Inode>> lookup(std::string_view name) override {
    return tree_lookup(Ref<Superblock>(superblock()), tree_, prefix_, cpu_, name);
  }
  Result<> read_directory(std::uint64_t offset, DirectorySink& sink) override {
    TRY(tree_list(tree_, prefix_, offset, sink));
    return {};
  }

 private:
  const TreeTable tree_;           // a constant table
  FixedString<kLongestPath> prefix_;
  const std::optional<std::uint32_t> cpu_;
};

// True if an entry before `index` has the same first component below the prefix.
bool seen_before(TreeTable tree, std::size_t index, std::string_view prefix, std::string_view component) {
  for (const TreeEntry& entry : tree.first(index)) {
    const auto rest = below(entry.path, prefix);
    if (rest && first_component(*rest) == component) return true;
  }
  return false;
}

// Gives the names that one component stands for; false = the sink is full.
bool list_component(std::uint64_t index, std::uint64_t from, std::string_view component, FileType type, DirectorySink& sink) {
  const std::uint64_t base = 2 + index * kOffsetsPerEntry;
  if (component != kPerCpu)
    return sink.add({.name = component, .ino = number_of(component, {}), .type = type, .next = base + kOffsetsPerEntry});
  for (std::uint64_t cpu = from; cpu < vcpu_count(); ++cpu) {
    FixedString<16> name;
    name.append_clipped("cpu").append_clipped(Digits(cpu).view());
    const std::uint64_t next = cpu + 1 < vcpu_count() ? base + cpu + 1 : base + kOffsetsPerEntry;
    if (!sink.add({.name = name.view(), .ino = number_of(component, static_cast<std::uint32_t>(cpu)), .type = type, .next = next})) return false;
  }
  return true;
}

}  // namespace

Result<Ref<Inode>> tree_lookup(Ref<Superblock> superblock, TreeTable tree, std::string_view prefix, std::optional<std::uint32_t> cpu, std::string_view name) {
  const std::optional<std::uint32_t> named_cpu = cpu_of(name);
  for (const TreeEntry& entry : tree) {
    const auto rest = below(entry.path, prefix);
    if (!rest) continue;
    const std::string_view component = first_component(*rest);
    const bool per_cpu = component == kPerCpu && named_cpu;
    if (component != name && !per_cpu) continue;
    if (component == kPerCpu && !per_cpu) continue;
    const std::optional<std::uint32_t> number = per_cpu ? named_cpu : cpu;
    // The path up to and with this component.
    const std::string_view path = entry.path.substr(0, entry.path.size() - rest->size() + component.size());
    const std::uint64_t ino = number_of(path, number);
    if (component.size() != rest->size() || entry.type == FileType::directory) return Ref<Inode>(TRY(make_ref<TreeDirectory>(superblock, ino, tree, path, number)));
    if (entry.type == FileType::symlink) return Ref<Inode>(TRY(make_ref<TreeLink>(superblock, ino, entry)));
    return Ref<Inode>(TRY(make_ref<TreeFile>(superblock, ino, entry, number.value_or(0))));
  }
  return Errno::noent;
}

Result<bool> tree_list(TreeTable tree, std::string_view prefix, std::uint64_t offset, DirectorySink& sink) {
  static_assert(kTreeOffsetEnd / kOffsetsPerEntry >= 4096);
  const std::uint64_t start = offset < 2 ? 0 : offset - 2;
  std::uint64_t from = start % kOffsetsPerEntry;
  for (std::size_t index = start / kOffsetsPerEntry; index < tree.size(); ++index, from = 0) {
    const auto rest = below(tree[index].path, prefix);
    if (!rest) continue;
    const std::string_view component = first_component(*rest);
    if (seen_before(tree, index, prefix, component)) continue;
    const FileType type = component.size() != rest->size() ? FileType::directory : tree[index].type;
    if (!list_component(index, from, component, type, sink)) return false;
  }
  return true;
}

Result<Ref<Inode>> tree_directory(Ref<Superblock> superblock, TreeTable tree, std::string_view prefix, std::optional<std::uint32_t> cpu) {
  return Ref<Inode>(TRY(make_ref<TreeDirectory>(superblock, number_of(prefix, cpu), tree, prefix, cpu)));
}

}  // namespace kernel
