// HashMap<K, V>: open addressing with linear probing and backward-shift removal. Growth can fail. Not synchronised; entries move when the
// map changes. Hashes are not keyed: where a program chooses the keys, long probe runs cost only that program's own time.
#ifndef KERNEL_BASE_HASH_MAP_H
#define KERNEL_BASE_HASH_MAP_H

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>

#include "kernel/base/vec.h"

namespace kernel {

// Spreads every bit of `value` over the whole word (finalizer of splitmix64).
constexpr std::uint64_t hash_mix(std::uint64_t value) {
  constexpr std::uint64_t kFirst = 0xbf58476d1ce4e5b9;
  constexpr std::uint64_t kSecond = 0x94d049bb133111eb;
  value ^= value >> 30;
  __builtin_mul_overflow(value, kFirst, &value);
  value ^= value >> 27;
  __builtin_mul_overflow(value, kSecond, &value);
  return value ^ (value >> 31);
}
constexpr std::uint64_t hash_combine(std::uint64_t a, std::uint64_t b) { return hash_mix(a ^ hash_mix(b ^ 0x9e3779b97f4a7c15)); }
constexpr std::uint64_t hash_text(std::string_view text) {
  constexpr std::uint64_t kPrime = 0x100000001b3;  // FNV-1a
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) {
    hash ^= static_cast<std::uint8_t>(c);
    __builtin_mul_overflow(hash, kPrime, &hash);
  }
  return hash_mix(hash);
}

// The default hash: numbers, enums, pointers, everything that converts to string_view, and types with a member hash().
struct DefaultHash {
  template <class T>
  std::uint64_t operator()(const T& key) const {
    if constexpr (std::is_integral_v<T>) {
      return hash_mix(static_cast<std::uint64_t>(key));
    } else if constexpr (std::is_enum_v<T>) {
      return hash_mix(static_cast<std::uint64_t>(std::to_underlying(key)));
    } else if constexpr (std::is_pointer_v<T>) {
      return hash_mix(__builtin_bit_cast(std::uint64_t, key));
    } else if constexpr (std::is_convertible_v<const T&, std::string_view>) {
      return hash_text(key);
    } else {
      return key.hash();
    }
  }
};

template <class K, class V, class Hash = DefaultHash>
class HashMap {
 public:
  struct Entry {
    K key;
    V value;
  };

  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  void clear() {
    slots_ = Vec<std::optional<Entry>>();
    size_ = 0;
  }

  // Any Q that hashes like K and compares with it by ==.
  template <class Q>
  V* find(const Q& key) LIFETIMEBOUND {
    const std::optional<std::size_t> at = position(key);
    return at ? &slots_[*at]->value : nullptr;
  }
  template <class Q>
  const V* find(const Q& key) const LIFETIMEBOUND {
    const std::optional<std::size_t> at = position(key);
    return at ? &slots_[*at]->value : nullptr;
  }
  template <class Q>
  bool contains(const Q& key) const {
    return position(key).has_value();
  }
  // EEXIST if the key is there already, ENOMEM.
  Result<> try_insert(K key, V value) {
    if (contains(key)) return Errno::exist;
    TRY(try_reserve(size_ + 1));
    place(Entry{std::move(key), std::move(value)});
    ++size_;
    return {};
  }
  // Inserts or replaces.
  Result<> try_set(K key, V value) {
    if (V* old = find(key)) {
      *old = std::move(value);
      return {};
    }
    return try_insert(std::move(key), std::move(value));
  }
  template <class Q>
  bool erase(const Q& key) {
    const std::optional<std::size_t> at = position(key);
    if (!at) return false;
    remove_at(*at);
    return true;
  }
  // Takes the value out.
  template <class Q>
  std::optional<V> take(const Q& key) {
    const std::optional<std::size_t> at = position(key);
    if (!at) return std::nullopt;
    std::optional<V> value(std::move(slots_[*at]->value));
    remove_at(*at);
    return value;
  }
  // Room for `count` entries in all: afterwards inserting up to there cannot fail.
  Result<> try_reserve(std::size_t count) {
    if (count * 4 <= slots_.size() * 3) return {};
    std::size_t capacity = slots_.empty() ? 8 : slots_.size() * 2;
    while (capacity * 3 < count * 4) capacity *= 2;
    Vec<std::optional<Entry>> old;
    TRY(old.try_resize(capacity));
    std::swap(old, slots_);
    for (std::optional<Entry>& slot : old)
      if (slot) place(std::move(*slot));
    return {};
  }

  // Calls visit(key, value) for every entry in no particular order; the map must not change meanwhile.
  template <class Visit>
  void for_each(Visit&& visit) {
    for (std::optional<Entry>& slot : slots_)
      if (slot) visit(static_cast<const K&>(slot->key), slot->value);
  }
  template <class Visit>
  void for_each(Visit&& visit) const {
    for (const std::optional<Entry>& slot : slots_)
      if (slot) visit(slot->key, slot->value);
  }
  // Removes every entry for which drop(key, value) is true.
  template <class Drop>
  void erase_if(Drop&& drop) {
    // A removal shifts later entries back, so the same position is looked at again; entries that wrap round are seen at least once.
    for (std::size_t at = 0; at < slots_.size();) {
      if (slots_[at] && drop(static_cast<const K&>(slots_[at]->key), slots_[at]->value))
        remove_at(at);
      else
        ++at;
    }
  }

 private:
  std::size_t home(std::uint64_t hash) const { return static_cast<std::size_t>(hash) & (slots_.size() - 1); }
  std::size_t next(std::size_t at) const { return (at + 1) & (slots_.size() - 1); }

  template <class Q>
  std::optional<std::size_t> position(const Q& key) const {
    if (size_ == 0) return std::nullopt;
    for (std::size_t at = home(Hash()(key)); slots_[at]; at = next(at))
      if (slots_[at]->key == key) return at;
    return std::nullopt;
  }
  void place(Entry entry) {
    std::size_t at = home(Hash()(entry.key));
    while (slots_[at]) at = next(at);
    slots_[at].emplace(std::move(entry));
  }
  void remove_at(std::size_t hole) {
    slots_[hole].reset();
    --size_;
    for (std::size_t at = next(hole); slots_[at]; at = next(at)) {
      // An entry may move into the hole only if its home does not lie behind the hole (cyclically).
      const std::size_t wanted = home(Hash()(slots_[at]->key));
      const bool stays = hole < at ? (hole < wanted && wanted <= at) : (hole < wanted || wanted <= at);
      if (stays) continue;
      slots_[hole].emplace(std::move(*slots_[at]));
      slots_[at].reset();
      hole = at;
    }
  }

  Vec<std::optional<Entry>> slots_;  // a power of two, at most 3/4 full
  std::size_t size_ = 0;
};

}  // namespace kernel
#endif  // KERNEL_BASE_HASH_MAP_H
