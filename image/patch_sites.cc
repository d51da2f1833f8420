#include "image/patch_sites.h"

#include <Zydis/Zydis.h>

#include <algorithm>
#include <numeric>
#include <optional>
#include <utility>

namespace image {
namespace {

using host_abi::PatchSite;
using host_abi::SiteKind;

constexpr std::uint32_t kJumpSize = 5;       // e9 and a 32-bit displacement
constexpr std::uint32_t kShortJumpSize = 2;  // eb and an 8-bit displacement
constexpr std::uint8_t kNone = 0xff;

// A set of register files: bit 0..15 the general registers, 16..47 the vector registers, 48 the flags.
using RegisterSet = std::uint64_t;
constexpr RegisterSet kFlags = RegisterSet{1} << 48;
constexpr RegisterSet kStack = RegisterSet{1} << 4;

// What an instruction does, as far as moving and repeating it is concerned.
struct Effects {
  bool movable = false;
  RegisterSet reads = 0;
  RegisterSet writes = 0;
  bool writes_memory = false;
  std::uint8_t rip_disp_at = kNone;  // offset of a rip-relative disp32 in the instruction
};

// Plain data instructions: no branch, no stack, no string, no system instruction.
bool is_plain(ZydisMnemonic mnemonic) {
  switch (mnemonic) {
    case ZYDIS_MNEMONIC_MOV: case ZYDIS_MNEMONIC_MOVZX: case ZYDIS_MNEMONIC_MOVSX: case ZYDIS_MNEMONIC_MOVSXD: case ZYDIS_MNEMONIC_LEA:
    case ZYDIS_MNEMONIC_XOR: case ZYDIS_MNEMONIC_AND: case ZYDIS_MNEMONIC_OR: case ZYDIS_MNEMONIC_ADD: case ZYDIS_MNEMONIC_SUB:
    case ZYDIS_MNEMONIC_SHL: case ZYDIS_MNEMONIC_SHR: case ZYDIS_MNEMONIC_SAR: case ZYDIS_MNEMONIC_ROL: case ZYDIS_MNEMONIC_ROR:
    case ZYDIS_MNEMONIC_NEG: case ZYDIS_MNEMONIC_NOT: case ZYDIS_MNEMONIC_INC: case ZYDIS_MNEMONIC_DEC: case ZYDIS_MNEMONIC_IMUL:
    case ZYDIS_MNEMONIC_TEST: case ZYDIS_MNEMONIC_CMP: case ZYDIS_MNEMONIC_BT: case ZYDIS_MNEMONIC_BSWAP:
    case ZYDIS_MNEMONIC_CDQ: case ZYDIS_MNEMONIC_CDQE: case ZYDIS_MNEMONIC_CQO: case ZYDIS_MNEMONIC_CWDE:
    case ZYDIS_MNEMONIC_CMOVB: case ZYDIS_MNEMONIC_CMOVBE: case ZYDIS_MNEMONIC_CMOVL: case ZYDIS_MNEMONIC_CMOVLE:
    case ZYDIS_MNEMONIC_CMOVNB: case ZYDIS_MNEMONIC_CMOVNBE: case ZYDIS_MNEMONIC_CMOVNL: case ZYDIS_MNEMONIC_CMOVNLE:
    case ZYDIS_MNEMONIC_CMOVNO: case ZYDIS_MNEMONIC_CMOVNP: case ZYDIS_MNEMONIC_CMOVNS: case ZYDIS_MNEMONIC_CMOVNZ:
    case ZYDIS_MNEMONIC_CMOVO: case ZYDIS_MNEMONIC_CMOVP: case ZYDIS_MNEMONIC_CMOVS: case ZYDIS_MNEMONIC_CMOVZ:
    case ZYDIS_MNEMONIC_SETB: case ZYDIS_MNEMONIC_SETBE: case ZYDIS_MNEMONIC_SETL: case ZYDIS_MNEMONIC_SETLE:
    case ZYDIS_MNEMONIC_SETNB: case ZYDIS_MNEMONIC_SETNBE: case ZYDIS_MNEMONIC_SETNL: case ZYDIS_MNEMONIC_SETNLE:
    case ZYDIS_MNEMONIC_SETNZ: case ZYDIS_MNEMONIC_SETZ: case ZYDIS_MNEMONIC_SETS: case ZYDIS_MNEMONIC_SETNS:
    case ZYDIS_MNEMONIC_MOVD: case ZYDIS_MNEMONIC_MOVQ: case ZYDIS_MNEMONIC_MOVAPS: case ZYDIS_MNEMONIC_MOVUPS:
    case ZYDIS_MNEMONIC_MOVDQA: case ZYDIS_MNEMONIC_MOVDQU: case ZYDIS_MNEMONIC_PXOR: case ZYDIS_MNEMONIC_XORPS:
      return true;
    default:
      return false;
  }
}

// 0 for registers that a plain instruction has no business with.
RegisterSet register_bit(ZydisRegister name) {
  const ZydisRegister whole = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, name);
  const ZydisRegisterClass kind = ZydisRegisterGetClass(whole == ZYDIS_REGISTER_NONE ? name : whole);
  const auto id = static_cast<unsigned>(ZydisRegisterGetId(whole == ZYDIS_REGISTER_NONE ? name : whole));
  if (kind == ZYDIS_REGCLASS_GPR64 && id < 16) return RegisterSet{1} << id;
  if (kind == ZYDIS_REGCLASS_ZMM && id < 32) return RegisterSet{1} << (16 + id);
  return 0;
}

bool is_flags(ZydisRegister name) { return ZydisRegisterGetClass(name) == ZYDIS_REGCLASS_FLAGS; }

bool add_register(const ZydisDecodedOperand& operand, Effects& effects) {
  if (is_flags(operand.reg.value)) return true;  // taken from cpu_flags
  const RegisterSet bit = register_bit(operand.reg.value);
  if (bit == 0) return false;  // segment, control, mask registers
  constexpr unsigned kFullWrite = 32;  // a shorter write keeps the rest of the register, so it reads it
  const bool partial = operand.size < kFullWrite;
  const unsigned actions = operand.actions;
  if ((actions & ZYDIS_OPERAND_ACTION_MASK_READ) != 0) effects.reads |= bit;
  if ((actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) != 0) effects.writes |= bit;
  if ((actions & ZYDIS_OPERAND_ACTION_CONDWRITE) != 0 || ((actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) != 0 && partial)) effects.reads |= bit;
  return true;
}

bool add_memory(const ZydisDecodedInstruction& instruction, const ZydisDecodedOperand& operand, Effects& effects) {
  if (operand.mem.segment == ZYDIS_REGISTER_GS) return false;
  for (const ZydisRegister part : {operand.mem.base, operand.mem.index}) {
    if (part == ZYDIS_REGISTER_NONE) continue;
    if (part == ZYDIS_REGISTER_RIP) {
      effects.rip_disp_at = instruction.raw.disp.offset;
      continue;
    }
    const RegisterSet bit = register_bit(part);
    if (bit == 0 || part == ZYDIS_REGISTER_EIP) return false;
    effects.reads |= bit;
  }
  if (operand.mem.type == ZYDIS_MEMOP_TYPE_AGEN) return true;  // lea
  if (operand.mem.type != ZYDIS_MEMOP_TYPE_MEM) return false;
  if ((operand.actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) != 0) effects.writes_memory = true;
  return true;
}

// xor, sub and pxor of a register with itself only write it.
bool clears_register(const ZydisDecodedInstruction& instruction, std::span<const ZydisDecodedOperand> operands) {
  const bool clears = instruction.mnemonic == ZYDIS_MNEMONIC_XOR || instruction.mnemonic == ZYDIS_MNEMONIC_SUB ||
                      instruction.mnemonic == ZYDIS_MNEMONIC_PXOR || instruction.mnemonic == ZYDIS_MNEMONIC_XORPS;
  constexpr unsigned kFullWrite = 32;
  return clears && operands.size() >= 2 && operands[0].type == ZYDIS_OPERAND_TYPE_REGISTER && operands[1].type == ZYDIS_OPERAND_TYPE_REGISTER &&
         operands[0].reg.value == operands[1].reg.value && operands[0].size >= kFullWrite;
}

Effects effects_of(std::span<const std::uint8_t> bytes) {
  static const ZydisDecoder kDecoder = [] {
    ZydisDecoder decoder;
    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    return decoder;
  }();
  ZydisDecodedInstruction instruction;
  std::array<ZydisDecodedOperand, ZYDIS_MAX_OPERAND_COUNT> operands;
  Effects effects;
  if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&kDecoder, bytes.data(), bytes.size(), &instruction, operands.data()))) return effects;
  if (instruction.length != bytes.size() || !is_plain(instruction.mnemonic)) return effects;
  constexpr std::uint64_t kOddPrefixes = ZYDIS_ATTRIB_HAS_LOCK | ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE;
  if ((instruction.attributes & kOddPrefixes) != 0) return effects;
  const std::span<const ZydisDecodedOperand> used(operands.data(), instruction.operand_count);
  for (const ZydisDecodedOperand& operand : used) {
    if (operand.type == ZYDIS_OPERAND_TYPE_REGISTER && !add_register(operand, effects)) return effects;
    if (operand.type == ZYDIS_OPERAND_TYPE_MEMORY && !add_memory(instruction, operand, effects)) return effects;
  }
  if (instruction.cpu_flags != nullptr) {
    if (instruction.cpu_flags->tested != 0) effects.reads |= kFlags;
    if ((instruction.cpu_flags->modified | instruction.cpu_flags->set_0 | instruction.cpu_flags->set_1 | instruction.cpu_flags->undefined) != 0) {
      effects.writes |= kFlags;
    }
  }
  if (clears_register(instruction, used)) effects.reads &= ~register_bit(used[0].reg.value);
  effects.movable = (effects.writes & kStack) == 0;
  return effects;
}

// mov $15, %eax or %rax in front of a syscall.
bool is_signal_return(std::span<const std::uint8_t> before) {
  constexpr std::array<std::uint8_t, 5> kShort = {0xb8, 15, 0, 0, 0};
  constexpr std::array<std::uint8_t, 7> kLong = {0x48, 0xc7, 0xc0, 15, 0, 0, 0};
  const auto ends_with = [&](std::span<const std::uint8_t> end) {
    return before.size() >= end.size() && std::ranges::equal(before.last(end.size()), end);
  };
  return ends_with(kShort) || ends_with(kLong);
}

// Checks the displaced instructions (in order) and fills in what the stub needs.
SiteRefusal check_sequence(std::span<const std::uint8_t> bytes, std::span<const std::uint8_t> lengths, PatchSite& site) {
  RegisterSet from_outside = 0;
  RegisterSet written = 0;
  RegisterSet written_early = 0;  // by all but the last
  std::size_t at = 0;
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    const bool last = i + 1 == lengths.size();
    const Effects effects = effects_of(bytes.subspan(at, lengths[i]));
    if (!effects.movable) return SiteRefusal::instruction;
    if (effects.rip_disp_at != kNone) {
      if (site.rip_disp_at != kNone) return SiteRefusal::instruction;  // the table has room for one
      site.rip_disp_at = static_cast<std::uint8_t>(at + effects.rip_disp_at);
      site.rip_next_at = static_cast<std::uint8_t>(at + lengths[i]);
    }
    if (effects.writes_memory && !last) return SiteRefusal::run_twice;
    from_outside |= effects.reads & ~written;
    written |= effects.writes;
    if (!last) written_early |= effects.writes;
    at += lengths[i];
  }
  return (from_outside & written_early) == 0 ? SiteRefusal::none : SiteRefusal::run_twice;
}


// The last `count` instructions before the trap as a site, without a place for the jump.
SiteChoice choose_displaced(const ElfFile& elf, const TargetMap& targets, const TrapSite& trap, std::uint32_t at_least) {
  std::uint32_t displaced = 0;
  std::uint8_t count = 0;
  while (displaced < at_least && count < trap.before_count) displaced += trap.before.at(count++);
  if (displaced < at_least) return {SiteRefusal::no_room, {}};
  if (targets.any(trap.address - displaced + 1, trap.address)) return {SiteRefusal::jump_inside, {}};
  const auto bytes = elf.bytes().subspan(trap.offset - displaced, displaced);
  std::vector<std::uint8_t> lengths(trap.before.begin(), trap.before.begin() + count);
  std::ranges::reverse(lengths);
  SiteChoice choice = {.refusal = SiteRefusal::none, .site = {}};
  choice.site.file_offset = static_cast<std::uint32_t>(trap.offset - displaced);
  choice.site.kind = static_cast<std::uint8_t>(trap.kind);
  choice.site.displaced = static_cast<std::uint8_t>(displaced);
  choice.site.rip_disp_at = kNone;
  choice.site.rip_next_at = kNone;
  std::ranges::copy(bytes, choice.site.bytes.begin());
  choice.refusal = check_sequence(bytes, lengths, choice.site);
  return choice;
}

// Whether a short jump at `offset` reaches a 5-byte jump at `place`, both in one page.
bool reaches(std::uint64_t offset, std::uint64_t place) {
  constexpr std::int64_t kFarBack = -126;
  constexpr std::int64_t kFarAhead = 127;
  constexpr std::uint64_t kPage = 4096;
  const auto page = [](std::uint64_t at) { return at / kPage; };
  const std::int64_t distance = static_cast<std::int64_t>(place) - static_cast<std::int64_t>(offset);
  return distance >= kFarBack && distance <= kFarAhead && page(offset) == page(offset + 1) && page(place) == page(offset) &&
         page(place + kJumpSize - 1) == page(offset);
}

// Finds 5 bytes of padding that a short jump from `offset` reaches, in the same page, and takes them. 0 if there are none.
std::int8_t take_padding(const TargetMap& targets, std::vector<Padding>& padding, std::uint64_t offset) {
  auto hole = std::ranges::lower_bound(padding, offset > 512 ? offset - 512 : 0, {}, &Padding::offset);
  for (; hole != padding.end() && hole->offset < offset + 128; ++hole) {
    for (std::uint32_t skip = 0; skip + kJumpSize <= hole->size; ++skip) {
      const std::uint64_t place = hole->offset + skip;
      if (!reaches(offset, place)) continue;
      if (targets.any(hole->address + skip, hole->address + skip + kJumpSize)) continue;
      const std::uint32_t used = skip + kJumpSize;
      *hole = {.offset = hole->offset + used, .address = hole->address + used, .size = hole->size - used};
      return static_cast<std::int8_t>(static_cast<std::int64_t>(place) - static_cast<std::int64_t>(offset));
    }
  }
  return 0;
}

// A site that was chosen already, and what it was chosen from.
struct Chosen {
  const TrapSite* trap;
  PatchSite site;
  bool gives = false;  // its spare bytes are in use
};

// A neighbour that displaces enough for two jumps leaves 5 bytes behind its own that nothing runs any more: the place for the jump of a
// site that has none. glibc's start_thread ends in such a one, `xor %edi,%edi; mov %edx,%eax; syscall; jmp` to the xor.
std::optional<PatchSite> borrow_room(const ElfFile& elf, const TargetMap& targets, std::vector<Chosen>& chosen, const TrapSite& trap) {
  SiteChoice narrow = choose_displaced(elf, targets, trap, kShortJumpSize);
  if (!trap.certain || narrow.refusal != SiteRefusal::none) return std::nullopt;
  for (Chosen& other : chosen) {
    constexpr std::uint64_t kFar = 160;  // certainly out of a short jump's reach
    const bool near = other.site.file_offset < narrow.site.file_offset + kFar && narrow.site.file_offset < other.site.file_offset + kFar;
    if (!near || other.gives || other.site.pad != 0) continue;
    const SiteChoice giver = choose_displaced(elf, targets, *other.trap, 2 * kJumpSize);
    if (giver.refusal != SiteRefusal::none) continue;
    const std::uint64_t place = std::uint64_t{giver.site.file_offset} + kJumpSize;
    if (!reaches(narrow.site.file_offset, place)) continue;
    other.site = giver.site;
    other.gives = true;
    narrow.site.pad = static_cast<std::int8_t>(static_cast<std::int64_t>(place) - static_cast<std::int64_t>(narrow.site.file_offset));
    return narrow.site;
  }
  return std::nullopt;
}

}  // namespace

SiteChoice choose_site(const ElfFile& elf, const TargetMap& targets, std::vector<Padding>& padding, const TrapSite& trap) {
  if (!trap.certain || trap.offset > UINT32_MAX) return {SiteRefusal::uncertain, {}};
  const std::uint64_t before = std::min<std::uint64_t>(trap.offset, 7);
  if (trap.kind == SiteKind::syscall && is_signal_return(elf.bytes().subspan(trap.offset - before, before))) return {SiteRefusal::signal_return, {}};
  const SiteChoice wide = choose_displaced(elf, targets, trap, kJumpSize);
  if (wide.refusal == SiteRefusal::none) return wide;
  SiteChoice narrow = choose_displaced(elf, targets, trap, kShortJumpSize);
  if (narrow.refusal != SiteRefusal::none) return wide;
  narrow.site.pad = take_padding(targets, padding, narrow.site.file_offset);
  return narrow.site.pad != 0 ? narrow : wide;
}

std::uint32_t FilePatches::trapping() const { return std::accumulate(refused.begin() + 1, refused.end(), 0U); }

Result<FilePatches> patch_program(const ElfFile& elf) {
  CodeScan scan = scan_code(elf);
  if (!scan.gs_writes.empty()) {
    return fail("offset {:#x} holds the instruction `{}`: the GS base belongs to the kernel of the enclave, such a program cannot run",
                scan.gs_writes.front().offset, scan.gs_writes.front().name);
  }
  FilePatches patches;
  std::vector<Chosen> chosen;
  std::vector<std::pair<const TrapSite*, SiteRefusal>> left;
  for (const TrapSite& trap : scan.sites) {
    const SiteChoice choice = choose_site(elf, scan.targets, scan.padding, trap);
    if (choice.refusal == SiteRefusal::none) {
      chosen.push_back({.trap = &trap, .site = choice.site});
    } else {
      left.emplace_back(&trap, choice.refusal);
    }
  }
  for (const auto& [trap, refusal] : left) {
    const bool roomless = refusal == SiteRefusal::no_room || refusal == SiteRefusal::jump_inside || refusal == SiteRefusal::instruction ||
                          refusal == SiteRefusal::run_twice;
    const std::optional<PatchSite> site = roomless ? borrow_room(elf, scan.targets, chosen, *trap) : std::nullopt;
    if (site) {
      patches.sites.push_back(*site);
    } else {
      ++patches.refused.at(static_cast<std::size_t>(refusal));
    }
  }
  for (const Chosen& one : chosen) patches.sites.push_back(one.site);
  std::ranges::sort(patches.sites, {}, &PatchSite::file_offset);
  return patches;
}

}  // namespace image
