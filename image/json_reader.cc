#include "image/json_reader.h"

#include <array>
#include <charconv>
#include <utility>

#include "image/files.h"

namespace image {
namespace {

using nlohmann::json;

constexpr std::array<std::pair<std::string_view, unsigned>, 5> kUnits = {
    {{"KB", 10}, {"MB", 20}, {"GB", 30}, {"TB", 40}, {"B", 0}}};  // "B" last: it is a suffix of the others

std::string shown(const json& value) {
  std::string text = value.dump(-1, ' ', true, json::error_handler_t::replace);
  constexpr std::size_t kLongest = 60;
  if (text.size() > kLongest) text = text.substr(0, kLongest) + "...";
  return text;
}

std::string size_expectation(const SizeRange& range) {
  std::string text = "a size, integer and unit (B, KB, MB, GB, TB) like \"32MB\"";
  if (range.minimum > 1) text += fmt::format(", at least {}", format_size(range.minimum));
  if (range.maximum != UINT64_MAX) text += fmt::format(", at most {}", format_size(range.maximum));
  if (range.multiple > 1) text += fmt::format(", a multiple of {}", format_size(range.multiple));
  return text;
}

}  // namespace

void JsonErrors::add(std::string_view path, std::string_view expected, std::string_view found) {
  lines_.push_back(printable(fmt::format("{}: {}: expected {}, found {}", file_, path.empty() ? "(top level)" : path, expected, found)));
}

void JsonErrors::add_value(std::string_view path, std::string_view expected, const json& found) { add(path, expected, shown(found)); }

std::string JsonErrors::text() const {
  std::string all;
  for (const std::string& line : lines_) {
    if (!all.empty()) all += '\n';
    all += line;
  }
  return all;
}

std::optional<std::uint64_t> parse_size(std::string_view text) {
  for (const auto& [unit, shift] : kUnits) {
    if (!text.ends_with(unit)) continue;
    const std::string_view digits = text.substr(0, text.size() - unit.size());
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    if (error != std::errc() || end != digits.data() + digits.size() || digits.empty()) return std::nullopt;
    if (number > (UINT64_MAX >> shift)) return std::nullopt;
    return number << shift;
  }
  return std::nullopt;
}

std::string format_size(std::uint64_t bytes) {
  constexpr std::array<std::pair<std::string_view, unsigned>, 4> kLargestFirst = {{{"TB", 40}, {"GB", 30}, {"MB", 20}, {"KB", 10}}};
  for (const auto& [unit, shift] : kLargestFirst) {
    if (bytes != 0 && (bytes >> shift) << shift == bytes) return fmt::format("{}{}", bytes >> shift, unit);
  }
  return fmt::format("{}B", bytes);
}

std::optional<json> parse_json(std::string_view text, JsonErrors& errors) {
  constexpr int kDeepest = 32;  // four times what a right file needs; printing a value takes stack for each level
  bool too_deep = false;
  std::vector<std::set<std::string>> keys;
  const json::parser_callback_t watch = [&](int depth, json::parse_event_t event, json& parsed) {
    if (depth > kDeepest) {
      too_deep = true;
      return false;
    }
    if (event == json::parse_event_t::object_start) keys.emplace_back();
    if (event == json::parse_event_t::object_end && !keys.empty()) keys.pop_back();
    if (event == json::parse_event_t::key && !keys.empty() && !keys.back().insert(parsed.get<std::string>()).second) {
      errors.add(parsed.get<std::string>(), "each key once per object", "the key twice");
    }
    return true;
  };
  try {
    json value = json::parse(text, watch);
    if (!too_deep) return value;
    errors.add("", fmt::format("values nested at most {} deep", kDeepest), "deeper ones");
    return std::nullopt;
  } catch (const json::exception& error) {
    std::string message = error.what();  // "[json.exception...] parse error at line 3, column 5: ..."
    const std::size_t start = message.find("] ");
    if (start != std::string::npos) message = message.substr(start + 2);
    for (char& c : message) c = c == '\n' ? ' ' : c;
    errors.add("", "JSON without comments", message);
    return std::nullopt;
  }
}

JsonObject::JsonObject(const json& value, std::string path, JsonErrors& errors)
    : value_(value), path_(std::move(path)), errors_(errors) {
  if (!value_.is_object()) errors_.add_value(path_, "an object {...}", value_);
}

std::string JsonObject::path_of(std::string_view key) const {
  return path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key);
}

bool JsonObject::has(std::string_view key) const { return value_.is_object() && value_.contains(key); }

const json* JsonObject::find(std::string_view key, Need need, std::string_view expected) {
  known_.emplace(key);
  if (!value_.is_object()) return nullptr;
  const auto found = value_.find(key);
  if (found != value_.end()) return &*found;
  if (need == Need::required) errors_.add(path_of(key), expected, "nothing (the key is missing)");
  return nullptr;
}

std::optional<std::uint64_t> JsonObject::size(std::string_view key, Need need, SizeRange range) {
  const std::string expected = size_expectation(range);
  const json* found = find(key, need, expected);
  if (found == nullptr) return std::nullopt;
  const std::optional<std::uint64_t> bytes =
      found->is_string() ? parse_size(found->get_ref<const std::string&>()) : std::nullopt;
  if (!bytes || *bytes < range.minimum || *bytes > range.maximum || *bytes % range.multiple != 0) {
    errors_.add_value(path_of(key), expected, *found);
    return std::nullopt;
  }
  return bytes;
}

std::optional<std::uint64_t> JsonObject::number(std::string_view key, Need need, std::uint64_t minimum, std::uint64_t maximum) {
  const std::string expected = fmt::format("an integer from {} to {}", minimum, maximum);
  const json* found = find(key, need, expected);
  if (found == nullptr) return std::nullopt;
  if (!found->is_number_unsigned() || found->get<std::uint64_t>() < minimum || found->get<std::uint64_t>() > maximum) {
    errors_.add_value(path_of(key), expected, *found);
    return std::nullopt;
  }
  return found->get<std::uint64_t>();
}

std::optional<std::uint64_t> JsonObject::hex_number(std::string_view key, Need need) {
  constexpr std::string_view kExpected = "a string of \"0x\" and 1 to 16 hexadecimal digits";
  const json* found = find(key, need, kExpected);
  if (found == nullptr) return std::nullopt;
  const std::string text = found->is_string() ? found->get<std::string>() : "";
  std::uint64_t number = 0;
  const bool prefixed = text.starts_with("0x") || text.starts_with("0X");
  const std::string_view digits = prefixed ? std::string_view(text).substr(2) : std::string_view();
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number, 16);
  if (digits.empty() || error != std::errc() || end != digits.data() + digits.size()) {
    errors_.add_value(path_of(key), kExpected, *found);
    return std::nullopt;
  }
  return number;
}

std::optional<bool> JsonObject::boolean(std::string_view key, Need need) {
  const json* found = find(key, need, "true or false");
  if (found == nullptr) return std::nullopt;
  if (!found->is_boolean()) {
    errors_.add_value(path_of(key), "true or false", *found);
    return std::nullopt;
  }
  return found->get<bool>();
}

std::optional<std::string> JsonObject::string(std::string_view key, Need need) {
  const json* found = find(key, need, "a string");
  if (found == nullptr) return std::nullopt;
  if (!found->is_string()) {
    errors_.add_value(path_of(key), "a string", *found);
    return std::nullopt;
  }
  return found->get<std::string>();
}

std::vector<std::string> JsonObject::strings(std::string_view key, Need need) {
  std::vector<std::string> all;
  const json* found = find(key, need, "an array of strings");
  if (found == nullptr) return all;
  if (!found->is_array()) {
    errors_.add_value(path_of(key), "an array of strings", *found);
    return all;
  }
  for (std::size_t i = 0; i < found->size(); ++i) {
    const json& item = (*found)[i];
    if (item.is_string()) {
      all.push_back(item.get<std::string>());
    } else {
      errors_.add_value(fmt::format("{}[{}]", path_of(key), i), "a string", item);
    }
  }
  return all;
}

const json* JsonObject::object(std::string_view key, Need need) {
  const json* found = find(key, need, "an object {...}");
  if (found == nullptr || found->is_object()) return found;
  errors_.add_value(path_of(key), "an object {...}", *found);
  return nullptr;
}

const json* JsonObject::array(std::string_view key, Need need) {
  const json* found = find(key, need, "an array [...]");
  if (found == nullptr || found->is_array()) return found;
  errors_.add_value(path_of(key), "an array [...]", *found);
  return nullptr;
}

void JsonObject::finish() {
  if (!value_.is_object()) return;
  std::string list;
  for (const std::string& key : known_) list += (list.empty() ? "" : ", ") + key;
  for (const auto& [key, unused] : value_.items()) {
    if (!known_.contains(key)) errors_.add(path_of(key), list.empty() ? "no keys here" : "one of the keys " + list, "an unknown key");
  }
}

}  // namespace image
