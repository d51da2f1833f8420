#include "image/eh_frame.h"

#include <algorithm>
#include <map>
#include <optional>

#include "image/little_endian.h"

namespace image {
namespace {

constexpr std::uint8_t kOmit = 0xff;
constexpr std::uint8_t kPcRelative = 0x10;
constexpr std::uint8_t kApplicationMask = 0x70;
constexpr std::uint8_t kIndirect = 0x80;

// Reads numbers one after the other; after an error every read gives 0 and ok() is false.
class Cursor {
 public:
  Cursor(std::span<const std::uint8_t> data, std::uint64_t address) : data_(data), address_(address) {}

  bool ok() const { return ok_; }
  bool at_end() const { return at_ >= data_.size(); }
  std::uint64_t address() const { return address_ + at_; }
  void skip(std::uint64_t count) { take(count); }

  template <class T>
  T number() {
    const auto raw = take(sizeof(T));
    return ok_ ? load<T>(raw, 0) : T{};
  }

  std::uint64_t uleb() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; ok_; shift += 7) {
      const auto byte = number<std::uint8_t>();
      if (shift < 64) value |= std::uint64_t{byte & 0x7fU} << shift;
      if ((byte & 0x80) == 0) break;
    }
    return value;
  }

  void skip_leb() { uleb(); }

  std::string text() {
    std::string result;
    for (auto c = number<std::uint8_t>(); ok_ && c != 0; c = number<std::uint8_t>()) result += static_cast<char>(c);
    return result;
  }

  // A pointer in a DW_EH_PE_* encoding; nothing for forms that are not used on x86-64.
  std::optional<std::uint64_t> pointer(std::uint8_t encoding) {
    const std::uint64_t base = address();
    std::uint64_t value = 0;
    switch (encoding & 0x0f) {
      case 0x00: case 0x04: case 0x0c: value = number<std::uint64_t>(); break;
      case 0x01: value = uleb(); break;
      case 0x02: value = number<std::uint16_t>(); break;
      case 0x03: value = number<std::uint32_t>(); break;
      case 0x0a: value = static_cast<std::uint64_t>(std::int64_t{number<std::int16_t>()}); break;
      case 0x0b: value = static_cast<std::uint64_t>(std::int64_t{number<std::int32_t>()}); break;
      default: ok_ = false;
    }
    if ((encoding & kIndirect) != 0) return std::nullopt;
    if ((encoding & kApplicationMask) == kPcRelative && value != 0) value += base;
    if ((encoding & kApplicationMask) != kPcRelative && (encoding & kApplicationMask) != 0) return std::nullopt;
    if (!ok_) return std::nullopt;
    return value;
  }

 private:
  std::span<const std::uint8_t> take(std::uint64_t count) {
    if (!ok_ || !inside(data_, at_, count)) {
      ok_ = false;
      return {};
    }
    const auto raw = data_.subspan(at_, count);
    at_ += count;
    return raw;
  }

  std::span<const std::uint8_t> data_;
  std::uint64_t address_;
  std::uint64_t at_ = 0;
  bool ok_ = true;
};

struct Cie {
  std::uint8_t pointer_encoding = 0;
  std::uint8_t lsda_encoding = kOmit;
  bool has_augmentation_data = false;
  bool known = false;
};

Cie read_cie(Cursor cursor) {
  Cie cie;
  const auto version = cursor.number<std::uint8_t>();
  const std::string augmentation = cursor.text();
  cursor.skip_leb();  // code alignment
  cursor.skip_leb();  // data alignment
  if (version == 1) {
    cursor.skip(1);  // return address register
  } else {
    cursor.skip_leb();
  }
  cie.known = cursor.ok() && (augmentation.empty() || augmentation[0] == 'z');
  if (augmentation.empty()) return cie;
  cie.has_augmentation_data = true;
  cursor.skip_leb();  // its size
  for (const char letter : augmentation.substr(1)) {
    if (letter == 'R') cie.pointer_encoding = cursor.number<std::uint8_t>();
    if (letter == 'L') cie.lsda_encoding = cursor.number<std::uint8_t>();
    if (letter == 'P') {
      const auto encoding = cursor.number<std::uint8_t>();
      cursor.pointer(encoding);
    }
  }
  cie.known = cie.known && cursor.ok();
  return cie;
}

void read_landing_pads(const ElfFile& elf, std::uint64_t table, std::uint64_t function, EhFunctions& result) {
  const auto bytes = elf.at(table);
  Cursor cursor(bytes, table);
  std::uint64_t base = function;
  const auto start_encoding = cursor.number<std::uint8_t>();
  if (start_encoding != kOmit) base = cursor.pointer(start_encoding).value_or(function);
  if (cursor.number<std::uint8_t>() != kOmit) cursor.skip_leb();  // type table
  const auto encoding = cursor.number<std::uint8_t>();
  const std::uint64_t size = cursor.uleb();
  const std::uint64_t end = cursor.address() + size;
  while (cursor.ok() && cursor.address() < end) {
    cursor.pointer(encoding);  // start
    cursor.pointer(encoding);  // length
    const std::optional<std::uint64_t> pad = cursor.pointer(encoding);
    cursor.skip_leb();  // action
    if (cursor.ok() && pad && *pad != 0) result.landing_pads.push_back(base + *pad);
  }
}

void read_fde(const ElfFile& elf, const Cie& cie, Cursor cursor, EhFunctions& result) {
  const std::optional<std::uint64_t> start = cursor.pointer(cie.pointer_encoding);
  const std::optional<std::uint64_t> size = cursor.pointer(cie.pointer_encoding & 0x0f);
  if (!start || !size || *size == 0) return;
  result.functions.push_back({*start, 0, *size});
  if (!cie.has_augmentation_data || cie.lsda_encoding == kOmit) return;
  cursor.skip_leb();  // size of the augmentation data
  const std::optional<std::uint64_t> lsda = cursor.pointer(cie.lsda_encoding);
  if (lsda && *lsda != 0) read_landing_pads(elf, *lsda, *start, result);
}

}  // namespace

EhFunctions read_eh_frame(const ElfFile& elf) {
  EhFunctions result;
  const Elf64_Shdr* section = elf.section(".eh_frame");
  if (section == nullptr || section->sh_type == SHT_NOBITS) return result;
  const auto data = elf.bytes().subspan(section->sh_offset, section->sh_size);
  std::map<std::uint64_t, Cie> cies;  // by offset
  for (std::uint64_t at = 0; inside(data, at, 8);) {
    const std::uint64_t size = load<std::uint32_t>(data, at);
    if (size < 4 || size == UINT32_MAX || !inside(data, at + 4, size)) {
      if (size != 0) break;
      at += 4;  // a terminator; linkers leave some in the middle
      continue;
    }
    const std::uint64_t body = at + 8;
    const std::uint64_t id = load<std::uint32_t>(data, at + 4);
    const Cursor cursor(data.subspan(body, size - 4), section->sh_addr + body);
    if (id == 0) {
      cies[at] = read_cie(cursor);
    } else if (const auto cie = cies.find(at + 4 - id); id <= at + 4 && cie != cies.end() && cie->second.known) {
      read_fde(elf, cie->second, cursor, result);
    }
    at += 4 + size;
  }
  std::ranges::sort(result.functions, {}, &ElfRange::address);
  return result;
}

}  // namespace image
