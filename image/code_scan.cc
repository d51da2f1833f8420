#include "image/code_scan.h"

#include <Zydis/Zydis.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "image/eh_frame.h"
#include "image/little_endian.h"

namespace image {
namespace {

using host_abi::SiteKind;

// True if the code holds bytes that could be one of the instructions that matter.
bool is_interesting(std::span<const std::uint8_t> code) {
  for (std::size_t i = 0; i + 1 < code.size(); ++i) {
    const std::uint8_t next = code[i + 1];
    if (code[i] == 0x0f && (next == 0x05 || next == 0xa2 || next == 0xae || next == 0xb5 || next == 0xa9)) return true;
    if (code[i] == 0x8e && (next & 0x38) == 0x28) return true;
  }
  return false;
}

// Counts how much of the code the unwind tables cover: where it is most of it, code outside is not trusted to be code.
bool covers_most(const std::vector<ElfRange>& functions, const std::vector<ElfRange>& code) {
  std::uint64_t covered = 0;
  std::uint64_t all = 0;
  for (const ElfRange& range : functions) covered += range.size;
  for (const ElfRange& range : code) all += range.size;
  return covered > all / 2;
}

bool contains(const std::vector<ElfRange>& sorted, std::uint64_t address) {
  const auto after = std::ranges::upper_bound(sorted, address, {}, &ElfRange::address);
  return after != sorted.begin() && std::prev(after)->contains(address);
}

std::optional<SiteKind> trap_kind(const ZydisDecodedInstruction& instruction) {
  if (instruction.length != 2) return std::nullopt;  // a prefix makes it an odd one: it traps
  if (instruction.mnemonic == ZYDIS_MNEMONIC_SYSCALL) return SiteKind::syscall;
  if (instruction.mnemonic == ZYDIS_MNEMONIC_CPUID) return SiteKind::cpuid;
  return std::nullopt;
}

const char* gs_writer(const ZydisDecodedInstruction& instruction, std::span<const std::uint8_t> bytes) {
  if (instruction.mnemonic == ZYDIS_MNEMONIC_WRGSBASE) return "wrgsbase";
  if (instruction.mnemonic == ZYDIS_MNEMONIC_LGS) return "lgs";
  if (instruction.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && instruction.opcode == 0x8e && ((instruction.raw.modrm.reg) & 7) == 5) return "mov to gs";
  if (instruction.opcode_map == ZYDIS_OPCODE_MAP_0F && instruction.opcode == 0xa9 && !bytes.empty()) return "pop gs";
  return nullptr;
}

// After these the next byte is not reached from here.
bool ends_flow(const ZydisDecodedInstruction& instruction) {
  switch (instruction.mnemonic) {
    case ZYDIS_MNEMONIC_JMP: case ZYDIS_MNEMONIC_RET: case ZYDIS_MNEMONIC_UD2: case ZYDIS_MNEMONIC_HLT: case ZYDIS_MNEMONIC_INT3: return true;
    default: return false;
  }
}

class Sweep {
 public:
  Sweep(const ElfFile& elf, CodeScan& scan) : elf_(elf), scan_(scan) {
    ZydisDecoderInit(&decoder_, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
  }

  void run() {
    collect_starts();
    for (const ElfRange& range : scan_.targets.code()) sweep(range);
    add_tables();
  }

 private:
  void collect_starts() {
    const EhFunctions eh = read_eh_frame(elf_);
    functions_ = eh.functions;
    only_functions_ = covers_most(functions_, scan_.targets.code());
    for (const ElfRange& function : functions_) add_start(function.address);
    for (const std::uint64_t pad : eh.landing_pads) scan_.targets.add(pad);
    elf_.for_each_symbol([&](std::uint64_t value, std::uint64_t size, unsigned type) {
      scan_.targets.add(value);
      if (type != STT_FUNC && type != STT_GNU_IFUNC) return;
      add_start(value);
      if (size != 0) symbols_.push_back({value, 0, size});
    });
    add_start(elf_.entry());
    for (const std::uint64_t value : elf_.relocation_values()) scan_.targets.add(value);
    for (const ElfRange& range : scan_.targets.code()) starts_.push_back(range.address);
    std::ranges::sort(starts_);
    starts_.erase(std::ranges::unique(starts_).begin(), starts_.end());
    std::ranges::sort(symbols_, {}, &ElfRange::address);
  }

  void add_start(std::uint64_t address) {
    if (!scan_.targets.is_code(address)) return;
    starts_.push_back(address);
    scan_.targets.add(address);
  }

  // Decodes from known start to known start. What was decoded since the last end of flow becomes certain at the next one.
  void sweep(const ElfRange& range) {
    const auto bytes = elf_.bytes().subspan(range.offset, range.size);
    auto next_start = std::ranges::upper_bound(starts_, range.address);
    history_.clear();
    padding_ = {};
    after_end_ = false;
    doubt_ = 0;
    std::uint64_t at = 0;
    while (at < bytes.size()) {
      const std::uint64_t address = range.address + at;
      if (next_start != starts_.end() && address >= *next_start) {
        end_padding();
        settle(address == *next_start && doubt_ == 0);
        if (address != *next_start) history_.clear();
        at = *next_start - range.address;
        doubt_ = 0;
        ++next_start;
        continue;
      }
      const std::uint64_t length = step(bytes.subspan(at), address, range.offset + at);
      at += length;
    }
    end_padding();
    settle(doubt_ == 0);
  }

  // Looks at one instruction, returns its length.
  std::uint64_t step(std::span<const std::uint8_t> bytes, std::uint64_t address, std::uint64_t offset) {
    ZydisDecodedInstruction instruction;
    ZydisDecoderContext context;
    if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&decoder_, &context, bytes.data(), bytes.size(), &instruction))) {
      settle(false);
      history_.clear();
      padding_ = {};
      after_end_ = false;
      doubt_ = 2;  // the decoder may be out of step until the end after the next
      return 1;
    }
    note_targets(instruction, address);
    note_padding(instruction, address, offset);
    if (const auto kind = trap_kind(instruction)) add_site(*kind, address, offset);
    if (const char* name = gs_writer(instruction, bytes)) pending_gs_.push_back({{offset, name}, address});
    history_.push_back(instruction.length);
    if (ends_flow(instruction)) {
      settle(doubt_ == 0);
      if (doubt_ != 0) --doubt_;
    }
    return instruction.length;
  }

  // Collects runs of nops behind an end of flow or an end of function.
  void note_padding(const ZydisDecodedInstruction& instruction, std::uint64_t address, std::uint64_t offset) {
    const bool filler = instruction.mnemonic == ZYDIS_MNEMONIC_NOP || instruction.mnemonic == ZYDIS_MNEMONIC_INT3;
    if (after_end_ && filler) {
      if (padding_.size == 0) padding_ = {.offset = offset, .address = address, .size = 0};
      padding_.size += instruction.length;
      return;
    }
    end_padding();
    const std::uint64_t next = address + instruction.length;
    const bool ends_function = only_functions_ && contains(functions_, address) && !contains(functions_, next);
    after_end_ = ends_function || instruction.mnemonic == ZYDIS_MNEMONIC_RET || instruction.mnemonic == ZYDIS_MNEMONIC_JMP;
  }

  void end_padding() {
    constexpr std::uint32_t kUseful = 5;
    if (padding_.size >= kUseful && doubt_ == 0 && in_function(padding_.address - 1)) scan_.padding.push_back(padding_);
    padding_ = {};
    after_end_ = false;
  }

  void note_targets(const ZydisDecodedInstruction& instruction, std::uint64_t address) {
    const std::uint64_t next = address + instruction.length;
    for (const auto& immediate : instruction.raw.imm) {
      if (immediate.size == 0) continue;
      if (immediate.is_relative) {
        scan_.targets.add(next + static_cast<std::uint64_t>(immediate.value.s));
      } else if (!elf_.is_position_independent() && immediate.size >= 32) {
        scan_.targets.add(immediate.value.u & UINT32_MAX);  // a fixed address of code in an instruction
      }
    }
    const bool has_modrm = (instruction.attributes & ZYDIS_ATTRIB_HAS_MODRM) != 0;
    if (has_modrm && instruction.raw.modrm.mod == 0 && instruction.raw.modrm.rm == 5 && instruction.mnemonic == ZYDIS_MNEMONIC_LEA) {
      const std::uint64_t target = next + static_cast<std::uint64_t>(instruction.raw.disp.value);
      scan_.targets.add(target);
      if (!scan_.targets.is_code(target)) tables_.push_back(target);
    }
  }

  void add_site(SiteKind kind, std::uint64_t address, std::uint64_t offset) {
    TrapSite site = {.address = address, .offset = offset, .kind = kind, .certain = false, .before_count = 0, .before = {}};
    std::uint32_t total = 0;
    for (auto length = history_.rbegin(); length != history_.rend(); ++length) {
      total += *length;
      if (total > host_abi::kMaxDisplaced) break;
      site.before.at(site.before_count++) = *length;
    }
    pending_.push_back(site);
  }

  bool in_function(std::uint64_t address) const {
    return !only_functions_ || contains(functions_, address) || contains(symbols_, address);
  }

  // Ends a stretch: its sites are certain or not.
  void settle(bool certain) {
    for (TrapSite& site : pending_) {
      // glibc ends the unwind entry of clone3 in front of its `syscall`: code that a function runs into counts as its own.
      site.certain = certain && (in_function(site.address) || in_function(site.address - 1));
      scan_.sites.push_back(site);
    }
    for (const auto& [write, address] : pending_gs_) {
      if (certain && in_function(address)) scan_.gs_writes.push_back(write);
    }
    pending_.clear();
    pending_gs_.clear();
    constexpr std::size_t kKeep = 64;
    if (history_.size() > kKeep) history_.erase(history_.begin(), history_.end() - kKeep);
  }

  // Jump tables: 32-bit distances from the table's own address (position-independent code), and addresses in data.
  void add_tables() {
    std::ranges::sort(tables_);
    tables_.erase(std::ranges::unique(tables_).begin(), tables_.end());
    for (const std::uint64_t table : tables_) {
      const auto bytes = elf_.at(table);
      for (std::uint64_t at = 0; inside(bytes, at, 4); at += 4) {
        const auto distance = load<std::int32_t>(bytes, at);
        const std::uint64_t target = table + static_cast<std::uint64_t>(std::int64_t{distance});
        if (!scan_.targets.is_code(target)) break;
        scan_.targets.add(target);
      }
    }
    if (elf_.is_position_independent()) return;  // there every address in data has a relocation
    for (const ElfRange& range : elf_.data()) {
      const auto bytes = elf_.bytes().subspan(range.offset, range.size);
      for (std::uint64_t at = (8 - range.address % 8) % 8; inside(bytes, at, 8); at += 8) scan_.targets.add(load<std::uint64_t>(bytes, at));
    }
  }

  const ElfFile& elf_;
  CodeScan& scan_;
  ZydisDecoder decoder_ = {};
  std::vector<ElfRange> functions_;  // from unwind tables
  std::vector<ElfRange> symbols_;
  bool only_functions_ = false;
  std::vector<std::uint64_t> starts_;
  std::vector<std::uint64_t> tables_;
  std::vector<std::uint8_t> history_;  // lengths
  std::vector<TrapSite> pending_;
  std::vector<std::pair<GsWrite, std::uint64_t>> pending_gs_;
  Padding padding_ = {};
  bool after_end_ = false;  // the last instruction but nops was a jump or return
  int doubt_ = 0;
};

}  // namespace

TargetMap::TargetMap(std::vector<ElfRange> code) : code_(std::move(code)) {
  std::uint64_t total = 0;
  for (const ElfRange& range : code_) {
    first_.push_back(total);
    total += range.size;
  }
  bits_.resize(total);
}

std::uint64_t TargetMap::index(std::uint64_t address) const {
  const auto after = std::ranges::upper_bound(code_, address, {}, &ElfRange::address);
  if (after == code_.begin() || !std::prev(after)->contains(address)) return UINT64_MAX;
  const auto number = static_cast<std::size_t>(std::prev(after) - code_.begin());
  return first_[number] + (address - code_[number].address);
}

void TargetMap::add(std::uint64_t address) {
  const std::uint64_t at = index(address);
  if (at != UINT64_MAX) bits_[at] = true;
}

bool TargetMap::is_code(std::uint64_t address) const { return index(address) != UINT64_MAX; }

bool TargetMap::any(std::uint64_t first, std::uint64_t last) const {
  for (std::uint64_t address = first; address < last; ++address) {
    const std::uint64_t at = index(address);
    if (at == UINT64_MAX || bits_[at]) return true;
  }
  return false;
}

CodeScan scan_code(const ElfFile& elf) {
  const std::vector<ElfRange> code = elf.code();
  const bool interesting = std::ranges::any_of(
      code, [&](const ElfRange& range) { return is_interesting(elf.bytes().subspan(range.offset, range.size)); });
  if (!interesting) return CodeScan{TargetMap({}), {}, {}, {}};
  CodeScan scan{TargetMap(code), {}, {}, {}};
  Sweep(elf, scan).run();
  return scan;
}

}  // namespace image
