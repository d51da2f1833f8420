#include "kernel/task/program.h"

#include <algorithm>
#include <array>
#include <utility>

#include "abi/auxv.h"
#include "kernel/base/checked.h"
#include "kernel/crypto/random.h"
#include "kernel/frame/bytes.h"
#include "kernel/frame/cpu.h"
#include "kernel/frame/cpuid.h"
#include "kernel/task/signal_frame.h"
#include "kernel/task/vdso.h"

namespace kernel {

namespace {

constexpr std::uint64_t kInitialStack = 128 * 1024;  // beyond arguments; it grows

Result<ElfImage> read_image(ExecFile& file, std::span<const std::byte> head) {
  if (head.size() < sizeof(abi::ElfHeader)) return Errno::noexec;
  const auto header = load_bytes<abi::ElfHeader>(head);
  const std::uint64_t size = file.size();
  const ProgramHeaderRange range = TRY(check_elf_header(header, size));
  Vec<std::byte> table;
  TRY(table.try_resize(range.size));
  if (TRY(file.read_at(range.offset, table.span())) != range.size) return Errno::noexec;
  return parse_program_headers(header, table.span(), size, frame::user_window_end());
}

Result<String> read_interpreter_path(ExecFile& file, const ElfImage& image) {
  String path;
  TRY(path.try_resize(image.interpreter_size));
  if (TRY(file.read_at(image.interpreter_offset, std::as_writable_bytes(path.span()))) != path.size()) return Errno::noexec;
  if (path.view().back() != '\0') return Errno::noexec;
  const std::size_t length = path.view().find('\0');
  if (length == 0) return Errno::noexec;
  path.truncate(length);
  return path;
}

MapRequest file_mapping(const ElfSegment& segment, const Ref<FileBacking>& backing, const Ref<MapLabel>& label, std::uint64_t bias) {
  MapRequest request;
  request.address = bias + segment.begin();
  request.size = segment.file_end() - segment.begin();
  request.prot = segment.prot;
  request.placement = Placement::fixed;
  request.file = backing;
  request.offset = round_down(segment.offset, kPageSize);
  request.label = label;
  return request;
}

// The pages behind the file's part of a segment are anonymous, and the rest of its last page is zero.
Result<> map_zero_part(AddressSpace& mm, const ElfSegment& segment, std::uint64_t bias) {
  if (segment.memory_size == segment.file_size) return {};
  if (segment.end() > segment.file_end()) {
    MapRequest request;
    request.address = bias + segment.file_end();
    request.size = segment.end() - segment.file_end();
    request.prot = segment.prot;
    request.placement = Placement::fixed;
    TRY(mm.map(request));
  }
  // Linux clears the tail only where the segment is writable, too.
  const std::uint64_t file_bytes_end = segment.vaddr + segment.file_size;
  if (segment.file_size != 0 && (segment.prot & kProtWrite) != 0 && segment.file_end() > file_bytes_end)
    TRY(frame::clear_user(bias + file_bytes_end, segment.file_end() - file_bytes_end));
  return {};
}

// Takes the addresses of a whole image in one mapping of its first segment, as ld.so does for libraries: the load bias.
Result<std::uint64_t> take_addresses(AddressSpace& mm, const ElfImage& image, const Ref<FileBacking>& backing, const Ref<MapLabel>& label) {
  const ElfSegment& first = image.segments[0];
  MapRequest request = file_mapping(first, backing, label, 0);
  request.size = image.end - image.begin;
  request.prot = image.segments.size() == 1 ? first.prot : 0;
  request.image = true;
  if (!image.position_independent) {
    request.placement = Placement::fixed_noreplace;
    TRY(mm.map(request));
    return std::uint64_t{0};
  }
  request.placement = Placement::anywhere;
  request.address = 0;
  if (image.alignment <= kPageSize) return TRY(mm.map(request)) - image.begin;
  // Larger alignment: take more addresses than needed and give back what is over.
  const std::uint64_t wide = TRY(checked_add(request.size, image.alignment));
  MapRequest reserve;
  reserve.size = wide;
  const std::uint64_t base = TRY(mm.map(reserve));
  std::uint64_t chosen = round_up(base, image.alignment) + image.begin % image.alignment;
  if (chosen - image.alignment >= base) chosen -= image.alignment;
  request.address = chosen;
  request.placement = Placement::fixed;
  TRY(mm.map(request));
  if (chosen > base) TRY(mm.unmap(base, chosen - base));
  const std::uint64_t end = chosen + round_up(request.size, kPageSize);
  if (end < base + wide) TRY(mm.unmap(end, base + wide - end));
  return chosen - image.begin;
}

// Maps all segments: the load bias.
Result<std::uint64_t> map_image(AddressSpace& mm, const OpenedElf& elf) {
  const Ref<FileBacking> backing = TRY(elf.file->backing());
  const Ref<MapLabel> label = TRY(MapLabel::make(elf.file->path()));
  const ElfImage& image = elf.image;
  const std::uint64_t bias = TRY(take_addresses(mm, image, backing, label));
  for (const ElfSegment& segment : image.segments) {
    if (segment.file_size != 0 && (image.segments.size() > 1 || segment.file_end() != image.end))
      TRY(mm.map(file_mapping(segment, backing, label, bias)));
    TRY(map_zero_part(mm, segment, bias));
  }
  return bias;
}

void note_ranges(ProgramLayout& layout, const ElfImage& image, std::uint64_t bias) {
  for (const ElfSegment& segment : image.segments) {
    const std::uint64_t begin = bias + segment.vaddr;
    const std::uint64_t end = begin + segment.file_size;
    if ((segment.prot & kProtExec) != 0) {
      if (layout.code_begin == 0) layout.code_begin = begin;
      layout.code_end = std::max(layout.code_end, end);
    } else if ((segment.prot & kProtWrite) != 0) {
      if (layout.data_begin == 0) layout.data_begin = begin;
      layout.data_end = std::max(layout.data_end, end);
    }
  }
}

// What the auxiliary vector tells of the image.
struct ImageFacts {
  std::uint64_t phdr, phnum, base, entry, vdso;
};

class StackBuilder {
 public:
  explicit StackBuilder(std::uint64_t top) : at_(top) {}
  std::uint64_t push(std::string_view bytes, std::uint64_t align = 1) {
    at_ = round_down(at_ - bytes.size(), align);
    if (result_.ok()) result_ = frame::copy_to_user(at_, bytes_of(bytes));
    return at_;
  }
  void put(std::uint64_t address, std::span<const std::uint64_t> words) {
    if (result_.ok()) result_ = frame::copy_to_user(address, std::as_bytes(words));
  }
  std::uint64_t& at() { return at_; }
  Result<> result() const { return result_; }

 private:
  std::uint64_t at_;
  Result<> result_;
};

constexpr std::size_t kAuxCount = 20;
std::array<abi::AuxEntry, kAuxCount> auxiliary_vector(Task& task, const ImageFacts& facts, std::uint64_t platform, std::uint64_t random,
                                                      std::uint64_t name) {
  const Credentials& who = task.credentials();
  const std::uint64_t frame_size = max_frame_size(task.xsave_area().size());
  const bool secure = who.ruid != who.euid || who.rgid != who.egid;
  return {{
      {abi::kAtSysinfoEhdr, facts.vdso},
      {abi::kAtHwcap, frame::cpuid(1, 0).edx},
      {abi::kAtPagesz, kPageSize},
      {abi::kAtClktck, abi::kClockTicksPerSecond},
      {abi::kAtPhdr, facts.phdr},
      {abi::kAtPhent, sizeof(abi::ElfProgramHeader)},
      {abi::kAtPhnum, facts.phnum},
      {abi::kAtBase, facts.base},
      {abi::kAtFlags, 0},
      {abi::kAtEntry, facts.entry},
      {abi::kAtUid, who.ruid},
      {abi::kAtEuid, who.euid},
      {abi::kAtGid, who.rgid},
      {abi::kAtEgid, who.egid},
      {abi::kAtSecure, secure ? std::uint64_t{1} : 0},
      {abi::kAtRandom, random},
      // Bit 1 would promise the FSGSBASE instructions, but GS belongs to the kernel here.
      {abi::kAtHwcap2, 0},
      {abi::kAtExecfn, name},
      {abi::kAtPlatform, platform},
      {abi::kAtMinsigstksz, frame_size},
  }};
}

// argc, argv[], envp[], auxv from `address` upwards, in pieces.
class VectorWriter {
 public:
  VectorWriter(StackBuilder& stack, std::uint64_t address) : stack_(stack), address_(address) {}
  void word(std::uint64_t value) {
    buffer_[used_++] = value;
    if (used_ == buffer_.size()) flush();
  }
  // The addresses of the strings in `block`, which lie from `begin` on; then a null.
  void strings(std::string_view block, std::uint64_t begin) {
    while (!block.empty()) {
      word(begin);
      const std::size_t length = block.find('\0') + 1;
      begin += length;
      block.remove_prefix(length);
    }
    word(0);
  }
  void flush() {
    stack_.put(address_, std::span<const std::uint64_t>(buffer_).first(used_));
    address_ += used_ * sizeof(std::uint64_t);
    used_ = 0;
  }
  std::uint64_t address() const { return address_ + used_ * sizeof(std::uint64_t); }

 private:
  StackBuilder& stack_;
  std::uint64_t address_;
  std::array<std::uint64_t, 64> buffer_{};
  std::size_t used_ = 0;
};

Result<std::uint64_t> fill_stack(Task& task, std::uint64_t top, const ImageFacts& facts, const ExecRequest& request,
                                 std::string_view exec_name, ProgramLayout& layout) {
  std::array<std::byte, 24> random{};
  random_bytes(random);
  // Up to 8 KiB of random offset, as on Linux (the mapping itself is at a random place, too).
  StackBuilder stack(top - sizeof(std::uint64_t) - (load_bytes<std::uint16_t>(random, 16) & 0x1ff0));
  (void)stack.push(std::string_view("\0", 1));
  const std::uint64_t name = stack.push(exec_name);
  layout.env_end = name;
  layout.env_begin = stack.push(request.environment.bytes());
  layout.arg_end = layout.env_begin;
  layout.arg_begin = stack.push(request.arguments.bytes());
  const std::uint64_t platform = stack.push(std::string_view("x86_64\0", 7));
  const std::uint64_t random_at = stack.push(text_of(std::span<const std::byte>(random).first(16)), 16);

  const std::size_t words = 1 + request.arguments.count() + 1 + request.environment.count() + 1 + 2 * (kAuxCount + 1);
  const std::uint64_t rsp = round_down(stack.at() - words * sizeof(std::uint64_t), 16);
  VectorWriter vectors(stack, rsp);
  vectors.word(request.arguments.count());
  vectors.strings(request.arguments.bytes(), layout.arg_begin);
  vectors.strings(request.environment.bytes(), layout.env_begin);
  layout.auxv_begin = vectors.address();
  for (const abi::AuxEntry& entry : auxiliary_vector(task, facts, platform, random_at, name)) {
    vectors.word(entry.type);
    vectors.word(entry.value);
  }
  vectors.word(abi::kAtNull);
  vectors.word(0);
  layout.auxv_end = vectors.address();
  vectors.flush();
  TRY(stack.result());
  layout.stack_top = rsp;
  return rsp;
}

}  // namespace

Result<OpenedProgram> open_program(Task& task, Ref<ExecFile> file, std::span<const std::byte> head) {
  OpenedProgram program;
  program.main.file = file;
  program.main.image = TRY(read_image(*file, head));
  if (program.main.image.interpreter_size == 0) return program;
  const String path = TRY(read_interpreter_path(*file, program.main.image));
  const Ref<ExecFile> interpreter = TRY(exec_files().open(task, kAtFdCwd, path.view(), 0));
  std::array<std::byte, sizeof(abi::ElfHeader)> header{};
  if (TRY(interpreter->read_at(0, header)) != header.size()) return Errno::libbad;
  Result<ElfImage> image = read_image(*interpreter, header);
  if (!image.ok()) return image.error() == Errno::noexec ? Errno::libbad : image.error();
  program.interpreter.file = interpreter;
  program.interpreter.image = std::move(image).release();
  return program;
}

Result<LoadedProgram> load_program(Task& task, AddressSpace& mm, const OpenedProgram& program, const ExecRequest& request,
                                   std::string_view exec_name) {
  LoadedProgram loaded;
  const std::uint64_t bias = TRY(map_image(mm, program.main));
  ImageFacts facts{};
  facts.entry = bias + program.main.image.entry;
  facts.phdr = program.main.image.phdr_address == 0 ? 0 : bias + program.main.image.phdr_address;
  facts.phnum = program.main.image.phdr_count;
  loaded.start = facts.entry;
  note_ranges(loaded.layout, program.main.image, bias);
  if (program.interpreter.file) {
    const std::uint64_t base = TRY(map_image(mm, program.interpreter));
    facts.base = base;
    loaded.start = base + program.interpreter.image.entry;
  }
  if (loaded.start < frame::user_window_begin() || loaded.start >= frame::user_window_end()) return Errno::noexec;
  facts.vdso = TRY(map_vdso(mm));
  loaded.layout.vdso = facts.vdso;
  TRY(mm.start_break());

  const std::uint64_t text = request.arguments.cost() + request.environment.cost() + exec_name.size();
  const Ref<MapLabel> label = TRY(MapLabel::make("[stack]"));
  const std::uint64_t top = TRY(mm.map_stack(round_up(text, kPageSize) + kInitialStack, label));
  if (program.main.image.executable_stack) {
    const std::uint64_t size = round_up(text, kPageSize) + kInitialStack;
    TRY(mm.protect(top - size, size, kProtRead | kProtWrite | kProtExec));
  }
  loaded.stack = TRY(fill_stack(task, top, facts, request, exec_name, loaded.layout));
  return loaded;
}

}  // namespace kernel
