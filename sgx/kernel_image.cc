#include "sgx/kernel_image.h"

#include <elf.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

#include "sgx/bytes.h"

namespace sgx {
namespace {

constexpr std::uint64_t kMaxImage = std::uint64_t{256} << 20;
constexpr std::uint64_t kMaxSegments = 64;

// Elf64_Dyn without its union.
struct DynamicEntry {
  std::int64_t tag;
  std::uint64_t value;
};
static_assert(sizeof(DynamicEntry) == sizeof(Elf64_Dyn));

// Builds a KernelImage step by step; each step returns the first thing that is wrong.
class Placer {
 public:
  Placer(Bytes elf, std::uint64_t base) : elf_(elf), base_(base) {}

  Result<KernelImage> place() {
    for (const auto step : {&Placer::read_header, &Placer::read_segments, &Placer::load_segments, &Placer::read_dynamic,
                            &Placer::relocate, &Placer::protect_relro, &Placer::collect_runs}) {
      if (auto done = (this->*step)(); !done) return std::unexpected(done.error());
    }
    return std::move(image_);
  }

 private:
  // What a page is; the value is also its sort key in messages.
  enum class Page : std::uint8_t { none, r, rx, relro, rw };

  Result<> read_header();
  Result<> read_segments();
  Result<> load_segments();
  Result<> load_segment(const Elf64_Phdr& segment);
  Result<> read_dynamic();
  Result<> take_dynamic(const DynamicEntry& entry);
  Result<> relocate();
  Result<> relocate_rela();
  Result<> relocate_relr();
  Result<> add_base_at(std::uint64_t address, std::uint64_t addend);
  Result<> protect_relro();
  Result<> collect_runs();
  bool pages_are(std::uint64_t offset, std::uint64_t size, Page kind) const;

  Bytes elf_;
  std::uint64_t base_;
  Elf64_Ehdr header_{};
  std::vector<Elf64_Phdr> segments_;
  std::optional<Elf64_Phdr> dynamic_;
  std::optional<Elf64_Phdr> relro_;
  std::vector<Page> pages_;
  std::uint64_t rela_ = 0, rela_size_ = 0, rela_entry_ = sizeof(Elf64_Rela);
  std::uint64_t relr_ = 0, relr_size_ = 0, relr_entry_ = sizeof(Elf64_Relr);
  KernelImage image_;
};

Result<> Placer::read_header() {
  const auto header = load_at<Elf64_Ehdr>(elf_, 0);
  constexpr std::array<unsigned char, 7> kIdent{0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT};
  if (!header || !std::equal(kIdent.begin(), kIdent.end(), header->e_ident)) return fail("not a 64-bit little-endian ELF file");
  if (header->e_machine != EM_X86_64) return fail("not an x86-64 ELF file");
  if (header->e_type != ET_DYN) return fail("not a static-PIE (ELF type is not DYN)");
  if (header->e_phentsize != sizeof(Elf64_Phdr)) return fail("bad size of program headers");
  if (header->e_phnum == 0 || header->e_phnum > kMaxSegments) return fail("bad number of program headers");
  header_ = *header;
  return {};
}

Result<> Placer::read_segments() {
  for (std::uint64_t i = 0; i < header_.e_phnum; ++i) {
    const auto segment = load_at<Elf64_Phdr>(elf_, header_.e_phoff + i * sizeof(Elf64_Phdr));
    if (!segment) return fail("program headers lie outside the file");
    switch (segment->p_type) {
      case PT_LOAD: segments_.push_back(*segment); break;
      case PT_DYNAMIC: dynamic_ = segment; break;
      case PT_GNU_RELRO: relro_ = segment; break;
      case PT_INTERP: return fail("it needs a program interpreter (link it with -static-pie)");
      case PT_TLS: return fail("it has thread-local storage, which the kernel does not set up");
      default: break;
    }
  }
  if (segments_.empty()) return fail("it has no segment to load");
  return {};
}

Result<> Placer::load_segments() {
  std::uint64_t end = 0;
  for (const Elf64_Phdr& segment : segments_) {
    if (!in_bounds(segment.p_vaddr, segment.p_memsz, kMaxImage)) return fail("a segment lies beyond 256 MiB");
    end = std::max(end, page_up(segment.p_vaddr + segment.p_memsz));
  }
  image_.bytes.assign(end, 0);
  pages_.assign(end / kPageSize, Page::none);
  for (const Elf64_Phdr& segment : segments_) {
    if (auto loaded = load_segment(segment); !loaded) return loaded;
  }
  if (pages_.empty() || pages_.front() == Page::none) return fail("it is not linked at address 0");
  const std::uint64_t entry_page = header_.e_entry / kPageSize;
  if (entry_page >= pages_.size() || pages_[entry_page] != Page::rx) return fail("the entry point is not in executable pages");
  image_.entry = header_.e_entry;
  return {};
}

Result<> Placer::load_segment(const Elf64_Phdr& segment) {
  if (segment.p_memsz == 0) return {};
  if (segment.p_filesz > segment.p_memsz || !in_bounds(segment.p_offset, segment.p_filesz, elf_.size())) {
    return fail("a segment's content lies outside the file");
  }
  const bool writable = (segment.p_flags & PF_W) != 0;
  const bool executable = (segment.p_flags & PF_X) != 0;
  if (writable && executable) return fail("a segment is writable and executable");
  const Page kind = executable ? Page::rx : writable ? Page::rw : Page::r;
  const std::uint64_t first = segment.p_vaddr / kPageSize;
  const std::uint64_t last = (segment.p_vaddr + segment.p_memsz - 1) / kPageSize;
  for (std::uint64_t page = first; page <= last; ++page) {
    if (pages_[page] != Page::none) return fail(fmt::format("two segments share the page at {:#x}", page * kPageSize));
    pages_[page] = kind;
  }
  const Bytes content = elf_.subspan(segment.p_offset, segment.p_filesz);
  std::ranges::copy(content, image_.bytes.begin() + static_cast<std::ptrdiff_t>(segment.p_vaddr));
  return {};
}

Result<> Placer::read_dynamic() {
  if (!dynamic_) return fail("it has no dynamic section (link it with -static-pie)");
  const std::uint64_t end = dynamic_->p_memsz / sizeof(DynamicEntry);
  for (std::uint64_t i = 0; i < end; ++i) {
    const auto entry = load_at<DynamicEntry>(image_.bytes, dynamic_->p_vaddr + i * sizeof(DynamicEntry));
    if (!entry) return fail("the dynamic section lies outside the image");
    if (entry->tag == DT_NULL) break;
    if (auto taken = take_dynamic(*entry); !taken) return taken;
  }
  if (rela_entry_ != sizeof(Elf64_Rela) || rela_size_ % sizeof(Elf64_Rela) != 0 || relr_entry_ != sizeof(Elf64_Relr) ||
      relr_size_ % sizeof(Elf64_Relr) != 0) {
    return fail("bad size of relocation entries");
  }
  if (!in_bounds(rela_, rela_size_, image_.bytes.size()) || !in_bounds(relr_, relr_size_, image_.bytes.size())) {
    return fail("the relocations lie outside the image");
  }
  return {};
}

Result<> Placer::take_dynamic(const DynamicEntry& entry) {
  const std::uint64_t value = entry.value;
  switch (entry.tag) {
    case DT_RELA: rela_ = value; break;
    case DT_RELASZ: rela_size_ = value; break;
    case DT_RELAENT: rela_entry_ = value; break;
    case DT_RELR: relr_ = value; break;
    case DT_RELRSZ: relr_size_ = value; break;
    case DT_RELRENT: relr_entry_ = value; break;
    case DT_NEEDED: return fail("it needs a shared library");
    case DT_TEXTREL: return fail("it has relocations in its text");
    case DT_REL: case DT_JMPREL: return fail("it has relocations other than R_X86_64_RELATIVE");
    case DT_FLAGS:
      if ((value & DF_TEXTREL) != 0) return fail("it has relocations in its text");
      break;
    case DT_INIT_ARRAYSZ: case DT_FINI_ARRAYSZ: case DT_PREINIT_ARRAYSZ:
      if (value != 0) return fail("it has global constructors or destructors, which nobody would run");
      break;
    case DT_INIT: case DT_FINI: return fail("it has an init or fini function, which nobody would run");
    default: break;
  }
  return {};
}

Result<> Placer::relocate() {
  if (auto done = relocate_rela(); !done) return done;
  return relocate_relr();
}

Result<> Placer::relocate_rela() {
  for (std::uint64_t at = 0; at < rela_size_; at += sizeof(Elf64_Rela)) {
    const auto entry = load_at<Elf64_Rela>(image_.bytes, rela_ + at);
    if (!entry) return fail("the relocations lie outside the image");
    if (entry->r_info != R_X86_64_RELATIVE) {
      return fail(fmt::format("relocation of type {} at {:#x}: only R_X86_64_RELATIVE is accepted",
                              ELF64_R_TYPE(entry->r_info), entry->r_offset));
    }
    if (auto done = add_base_at(entry->r_offset, static_cast<std::uint64_t>(entry->r_addend)); !done) return done;
  }
  return {};
}

// RELR (gABI): an even entry is an address to relocate; an odd one is a bitmap of the 63 words behind the last address.
Result<> Placer::relocate_relr() {
  const auto add_in_place = [this](std::uint64_t address) -> Result<> {
    const auto addend = load_at<std::uint64_t>(image_.bytes, address);
    if (!addend) return fail(fmt::format("relocation at {:#x} lies outside the image", address));
    return add_base_at(address, *addend);
  };
  std::uint64_t next = 0;
  for (std::uint64_t at = 0; at < relr_size_; at += sizeof(Elf64_Relr)) {
    const auto entry = load_at<Elf64_Relr>(image_.bytes, relr_ + at);
    if (!entry) return fail("the relocations lie outside the image");
    if ((*entry & 1) == 0) {
      if (auto done = add_in_place(*entry); !done) return done;
      next = *entry + 8;
      continue;
    }
    for (std::uint64_t bit = 1; bit < 64; ++bit) {
      if ((*entry >> bit & 1) == 0) continue;
      if (auto done = add_in_place(next + (bit - 1) * 8); !done) return done;
    }
    next += std::uint64_t{63} * 8;
  }
  return {};
}

Result<> Placer::add_base_at(std::uint64_t address, std::uint64_t addend) {
  if (!pages_are(address, sizeof(std::uint64_t), Page::rw)) {
    return fail(fmt::format("relocation at {:#x} is not in a writable segment", address));
  }
  store_at(image_.bytes, address, base_ + addend);
  return {};
}

// Relocations are done, so what is read-only after them can be read-only from the start. Only pages without other data count.
Result<> Placer::protect_relro() {
  if (!relro_ || relro_->p_memsz == 0) return {};
  if (!in_bounds(relro_->p_vaddr, relro_->p_memsz, image_.bytes.size())) return fail("the RELRO range lies outside the image");
  const bool starts_segment =
      std::ranges::any_of(segments_, [this](const Elf64_Phdr& segment) { return segment.p_vaddr == relro_->p_vaddr; });
  const std::uint64_t first = (starts_segment ? relro_->p_vaddr : page_up(relro_->p_vaddr)) / kPageSize;
  const std::uint64_t end = (relro_->p_vaddr + relro_->p_memsz) / kPageSize;
  for (std::uint64_t page = first; page < end; ++page) {
    if (pages_[page] == Page::rw) pages_[page] = Page::relro;
  }
  return {};
}

Result<> Placer::collect_runs() {
  for (std::uint64_t page = 0; page < pages_.size();) {
    const Page kind = pages_[page];
    std::uint64_t end = page;
    while (end < pages_.size() && pages_[end] == kind) ++end;
    const PageRun run{page * kPageSize, (end - page) * kPageSize,
                      kind == Page::rx   ? kSecinfoR | kSecinfoX
                      : kind == Page::rw ? kSecinfoR | kSecinfoW
                                         : kSecinfoR};
    page = end;
    if (kind == Page::none) continue;
    host_abi::LayoutRange& range = kind == Page::rx      ? image_.text
                                   : kind == Page::rw    ? image_.data
                                   : kind == Page::relro ? image_.relro
                                                         : image_.rodata;
    if (range.size != 0) return fail("its segments are not in the order R, RX, RELRO, RW with one run of pages each");
    range = {run.offset, run.size};
    image_.runs.push_back(run);
  }
  return {};
}

bool Placer::pages_are(std::uint64_t offset, std::uint64_t size, Page kind) const {
  if (!in_bounds(offset, size, image_.bytes.size())) return false;
  return pages_[offset / kPageSize] == kind && pages_[(offset + size - 1) / kPageSize] == kind;
}

}  // namespace

Result<KernelImage> place_kernel(Bytes elf, std::uint64_t base) { return Placer(elf, base).place(); }

}  // namespace sgx
