// FlatMap<K, V>: an ordered map in one sorted array. For maps that are small or seldom changed: lookup is a binary search, insertion and
// removal move the entries behind. Not synchronised; entries move when the map changes, so keep no references across changes.
#ifndef KERNEL_BASE_FLAT_MAP_H
#define KERNEL_BASE_FLAT_MAP_H

#include <cstddef>
#include <utility>

#include "kernel/base/vec.h"

namespace kernel {

template <class K, class V>
class FlatMap {
 public:
  struct Entry {
    K key;
    V value;
  };

  std::size_t size() const { return entries_.size(); }
  bool empty() const { return entries_.empty(); }
  void clear() { entries_.clear(); }

  // Any Q that compares with K by <, also a view of it.
  template <class Q>
  V* find(const Q& key) LIFETIMEBOUND {
    const std::size_t at = lower_bound(key);
    return at < entries_.size() && !(key < entries_[at].key) ? &entries_[at].value : nullptr;
  }
  template <class Q>
  const V* find(const Q& key) const LIFETIMEBOUND {
    const std::size_t at = lower_bound(key);
    return at < entries_.size() && !(key < entries_[at].key) ? &entries_[at].value : nullptr;
  }
  template <class Q>
  bool contains(const Q& key) const {
    return find(key) != nullptr;
  }
  // EEXIST if the key is there already, ENOMEM.
  Result<> try_insert(K key, V value) {
    const std::size_t at = lower_bound(key);
    if (at < entries_.size() && !(key < entries_[at].key)) return Errno::exist;
    return entries_.try_insert(at, Entry{std::move(key), std::move(value)});
  }
  // Inserts or replaces.
  Result<> try_set(K key, V value) {
    const std::size_t at = lower_bound(key);
    if (at < entries_.size() && !(key < entries_[at].key)) {
      entries_[at].value = std::move(value);
      return {};
    }
    return entries_.try_insert(at, Entry{std::move(key), std::move(value)});
  }
  // True if there was one.
  template <class Q>
  bool erase(const Q& key) {
    const std::size_t at = lower_bound(key);
    if (at >= entries_.size() || key < entries_[at].key) return false;
    entries_.erase(at);
    return true;
  }

  // Position of the first entry whose key is not less than `key`; size() if there is none. For walks in order by at().
  template <class Q>
  std::size_t lower_bound(const Q& key) const {
    std::size_t low = 0;
    std::size_t high = entries_.size();
    while (low < high) {
      const std::size_t middle = low + (high - low) / 2;
      if (entries_[middle].key < key)
        low = middle + 1;
      else
        high = middle;
    }
    return low;
  }
  Entry& at(std::size_t position) LIFETIMEBOUND { return entries_[position]; }
  const Entry& at(std::size_t position) const LIFETIMEBOUND { return entries_[position]; }
  void erase_at(std::size_t position) { entries_.erase(position); }

  // Entries in key order. Do not change keys through it.
  Entry* begin() LIFETIMEBOUND { return entries_.begin(); }
  Entry* end() LIFETIMEBOUND { return entries_.end(); }
  const Entry* begin() const LIFETIMEBOUND { return entries_.begin(); }
  const Entry* end() const LIFETIMEBOUND { return entries_.end(); }

 private:
  Vec<Entry> entries_;
};

}  // namespace kernel
#endif  // KERNEL_BASE_FLAT_MAP_H
