#include "kernel/frame/host_memory.h"

#include <algorithm>
#include <array>
#include <atomic>

#include "kernel/frame/asm.h"
#include "kernel/frame/bytes.h"
#include "kernel/frame/layout.h"

namespace kernel::frame {
namespace {

constexpr std::uint64_t kLowerHalfEnd = 0x0000'8000'0000'0000;
constexpr std::size_t kWord = 8;

// SAFETY: kernel memory as a number, for the faulting copy only.
std::uint64_t raw(std::span<const std::byte> bytes) { return reinterpret_cast<std::uint64_t>(bytes.data()); }

// SAFETY: (both) the address is outside ELRANGE (callers check), so whatever is there is not kernel memory; the word is aligned.
template <class T>
std::atomic_ref<T> word_at(std::uint64_t address) {
  KASSERT(outside_enclave(address, sizeof(T)) && address % sizeof(T) == 0);
  // SAFETY: checked just above.
  return std::atomic_ref<T>(*reinterpret_cast<T*>(address));
}

// One aligned word in or out through a local copy.
Result<> move_word_in(std::uint64_t address, std::array<std::byte, kWord>& word) {
  if (faulting_copy_words(raw(word), address, 1) != 0) return Errno::io;
  return {};
}
Result<> move_word_out(std::uint64_t address, const std::array<std::byte, kWord>& word) {
  if (faulting_copy_words(address, raw(word), 1) != 0) return Errno::io;
  return {};
}

}  // namespace

bool outside_enclave(std::uint64_t address, std::uint64_t size) {
  std::uint64_t end = 0;
  if (__builtin_add_overflow(address, size, &end)) return false;
  return address >= layout().elrange_size && end <= kLowerHalfEnd;
}

Result<> copy_from_outside(std::span<std::byte> into, std::uint64_t address) {
  if (into.empty()) return {};
  if (!outside_enclave(address & ~(kWord - 1), into.size() + 2 * kWord)) return Errno::io;
  std::size_t done = 0;
  const std::size_t skew = address % kWord;
  if (skew != 0) {
    std::array<std::byte, kWord> word{};
    TRY(move_word_in(address - skew, word));
    done = std::min(into.size(), kWord - skew);
    copy_bytes(into, std::span(word).subspan(skew, done));
  }
  const std::size_t words = (into.size() - done) / kWord;
  if (words != 0 && faulting_copy_words(raw(into) + done, address + done, words) != 0) return Errno::io;
  done += words * kWord;
  if (done < into.size()) {
    std::array<std::byte, kWord> word{};
    TRY(move_word_in(address + done, word));
    copy_bytes(into.subspan(done), std::span(word).first(into.size() - done));
  }
  return {};
}

Result<> copy_to_outside(std::uint64_t address, std::span<const std::byte> from) {
  if (from.empty()) return {};
  if (!outside_enclave(address & ~(kWord - 1), from.size() + 2 * kWord)) return Errno::io;
  std::size_t done = 0;
  const std::size_t skew = address % kWord;
  if (skew != 0) {
    std::array<std::byte, kWord> word{};
    TRY(move_word_in(address - skew, word));
    done = std::min(from.size(), kWord - skew);
    copy_bytes(std::span(word).subspan(skew), from.first(done));
    TRY(move_word_out(address - skew, word));
  }
  const std::size_t words = (from.size() - done) / kWord;
  if (words != 0 && faulting_copy_words(address + done, raw(from) + done, words) != 0) return Errno::io;
  done += words * kWord;
  if (done < from.size()) {
    std::array<std::byte, kWord> word{};
    TRY(move_word_in(address + done, word));
    copy_bytes(word, from.subspan(done));
    TRY(move_word_out(address + done, word));
  }
  return {};
}

Result<std::uint64_t> load_outside(std::uint64_t address) {
  if (address % kWord != 0 || !outside_enclave(address, kWord)) return Errno::io;
  std::array<std::byte, kWord> word{};
  TRY(move_word_in(address, word));
  return load_bytes<std::uint64_t>(word);
}

std::uint32_t load_outside_u32(std::uint64_t address) { return word_at<std::uint32_t>(address).load(std::memory_order_acquire); }
void store_outside_u32(std::uint64_t address, std::uint32_t value) { word_at<std::uint32_t>(address).store(value, std::memory_order_seq_cst); }
std::uint32_t exchange_outside_u32(std::uint64_t address, std::uint32_t value) {
  return word_at<std::uint32_t>(address).exchange(value, std::memory_order_seq_cst);
}
std::uint64_t exchange_outside_u64(std::uint64_t address, std::uint64_t value) {
  return word_at<std::uint64_t>(address).exchange(value, std::memory_order_seq_cst);
}

}  // namespace kernel::frame
