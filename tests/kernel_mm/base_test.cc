#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>

#include "kernel/base/flat_map.h"
#include "kernel/base/hash_map.h"
#include "kernel/base/string.h"
#include "kernel/base/tree.h"
#include "tests/kernel_mm/malloc_heap.h"

namespace {
using namespace kernel;

TEST(FlatMap, AgreesWithStdMap) {
  std::mt19937 random(1);
  FlatMap<int, int> map;
  std::map<int, int> model;
  for (int i = 0; i < 20000; ++i) {
    const int key = static_cast<int>(random() % 200);
    switch (random() % 3) {
      case 0:
        EXPECT_EQ(map.try_insert(key, i).ok(), model.emplace(key, i).second);
        break;
      case 1:
        EXPECT_EQ(map.erase(key), model.erase(key) == 1);
        break;
      default:
        ASSERT_EQ(map.find(key) != nullptr, model.contains(key));
        if (map.find(key) != nullptr) EXPECT_EQ(*map.find(key), model[key]);
    }
    ASSERT_EQ(map.size(), model.size());
  }
  auto it = model.begin();
  for (const auto& entry : map) EXPECT_EQ(entry.key, (it++)->first);
}

TEST(HashMap, AgreesWithStdMap) {
  std::mt19937 random(2);
  HashMap<String, int> map;
  std::map<std::string, int> model;
  for (int i = 0; i < 40000; ++i) {
    const std::string key = std::to_string(random() % 300);
    switch (random() % 3) {
      case 0: {
        auto text = String::from(key);
        ASSERT_TRUE(text.ok());
        EXPECT_EQ(map.try_insert(std::move(text).release(), i).ok(), model.emplace(key, i).second);
        break;
      }
      case 1:
        EXPECT_EQ(map.erase(std::string_view(key)), model.erase(key) == 1);
        break;
      default:
        ASSERT_EQ(map.find(std::string_view(key)) != nullptr, model.contains(key));
        if (model.contains(key)) EXPECT_EQ(*map.find(std::string_view(key)), model[key]);
    }
    ASSERT_EQ(map.size(), model.size());
  }
  map.erase_if([](const String&, int value) { return value % 2 == 0; });
  std::erase_if(model, [](const auto& entry) { return entry.second % 2 == 0; });
  EXPECT_EQ(map.size(), model.size());
  map.for_each([&](const String& key, int value) { EXPECT_EQ(model.at(std::string(key.view())), value); });
}

TEST(HashMap, FailedGrowthLosesNothing) {
  HashMap<int, int> map;
  for (int i = 0; i < 6; ++i) ASSERT_TRUE(map.try_insert(i, i).ok());
  kernel_mm_test::allocations_left = 0;
  EXPECT_EQ(map.try_insert(100, 1).error(), Errno::nomem);
  kernel_mm_test::allocations_left = -1;
  for (int i = 0; i < 6; ++i) EXPECT_NE(map.find(i), nullptr);
}

TEST(Text, StringsAndDigits) {
  auto text = String::from("abc");
  ASSERT_TRUE(text.ok());
  String s = std::move(text).release();
  ASSERT_TRUE(s.try_append("defghijklmnop").ok());
  EXPECT_EQ(s.view(), "abcdefghijklmnop");
  EXPECT_EQ(s, std::string_view("abcdefghijklmnop"));
  FixedString<4> f;
  EXPECT_TRUE(f.append("abc").ok());
  EXPECT_EQ(f.append("de").error(), Errno::nametoolong);
  EXPECT_EQ(f.append_clipped("de").view(), "abcd");
  EXPECT_EQ(Digits(0).view(), "0");
  EXPECT_EQ(Digits(255, 16, 4).view(), "00ff");
  EXPECT_EQ(Digits(~std::uint64_t{0}).view(), "18446744073709551615");
  EXPECT_EQ(parse_decimal("18446744073709551616").error(), Errno::range);
  EXPECT_EQ(parse_decimal("").error(), Errno::inval);
  EXPECT_EQ(parse_decimal("12").value_or(0), 12U);
}

struct Item : TreeNode<Item> {
  explicit Item(int k) : key(k) {}
  int key;
  int largest = 0;  // of the subtree
};
struct ItemTraits {
  static int key(const Item& item) { return item.key; }
  static void update(Item& item, const Item* left, const Item* right) {
    item.largest = std::max({item.key, left != nullptr ? left->largest : item.key, right != nullptr ? right->largest : item.key});
  }
};
using ItemTree = Tree<Item, ItemTraits>;

int check_balance(const Item* item) {
  if (item == nullptr) return 0;
  const int left = check_balance(ItemTree::left(*item));
  const int right = check_balance(ItemTree::right(*item));
  EXPECT_LE(std::abs(left - right), 1);
  return std::max(left, right) + 1;
}

TEST(Tree, AgreesWithStdMapAndStaysBalanced) {
  std::mt19937 random(4);
  ItemTree tree;
  std::map<int, std::unique_ptr<Item>> model;
  for (int i = 0; i < 30000; ++i) {
    const int key = static_cast<int>(random() % 500);
    if (const auto it = model.find(key); it != model.end()) {
      tree.remove(*it->second);
      model.erase(it);
    } else {
      auto item = std::make_unique<Item>(key);
      tree.insert(*item);
      model.emplace(key, std::move(item));
    }
    if (i % 50 == 0) {
      check_balance(tree.root());
      auto it = model.begin();
      for (Item* at = tree.first(); at != nullptr; at = ItemTree::next(*at)) ASSERT_EQ(at->key, (it++)->first);
      ASSERT_EQ(it, model.end());
      if (!model.empty()) ASSERT_EQ(tree.root()->largest, model.rbegin()->first);
    }
    const int probe = static_cast<int>(random() % 500);
    const auto above = model.lower_bound(probe);
    ASSERT_EQ(tree.ceiling(probe), above == model.end() ? nullptr : above->second.get());
    auto below = model.upper_bound(probe);
    ASSERT_EQ(tree.floor(probe), below == model.begin() ? nullptr : std::prev(below)->second.get());
  }
  while (tree.first() != nullptr) tree.remove(*tree.first());
}

}  // namespace
