// Strict reading of JSON objects: every key is known, has the right type and range, or an error names file, key path, what was
// expected and what was found. All errors of a file are collected, one line each.
#ifndef IMAGE_JSON_READER_H
#define IMAGE_JSON_READER_H

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "image/result.h"

namespace image {

// Collects one line per mistake.
class JsonErrors {
 public:
  explicit JsonErrors(std::string file) : file_(std::move(file)) {}
  // "file: path: expected X, found Y".
  void add(std::string_view path, std::string_view expected, std::string_view found);
  void add_value(std::string_view path, std::string_view expected, const nlohmann::json& found);
  bool empty() const { return lines_.empty(); }
  const std::string& file() const { return file_; }
  // All lines, separated by newlines.
  std::string text() const;

 private:
  std::string file_;
  std::vector<std::string> lines_;
};

// Limits of a size value: bytes, and a multiple that it must be of.
struct SizeRange {
  std::uint64_t minimum = 1;
  std::uint64_t maximum = UINT64_MAX;
  std::uint64_t multiple = 1;
};

// "4096B", "192KB", "32MB", "1GB", "1TB" (units are powers of 1024). Nothing if the text is no size or exceeds 64 bits.
std::optional<std::uint64_t> parse_size(std::string_view text);
// The shortest exact form of a size.
std::string format_size(std::uint64_t bytes);

// Parses text as JSON without comments; duplicate keys are errors too.
std::optional<nlohmann::json> parse_json(std::string_view text, JsonErrors& errors);

// One object of the file. Each getter marks its key as known; finish() reports the others. A getter returns nothing when the key
// is absent or wrong; a wrong value, or an absent required one, has then been reported.
class JsonObject {
 public:
  JsonObject(const nlohmann::json& value, std::string path, JsonErrors& errors);
  JsonObject(const JsonObject&) = delete;
  JsonObject& operator=(const JsonObject&) = delete;

  enum class Need : std::uint8_t { required, optional };

  std::optional<std::uint64_t> size(std::string_view key, Need need, SizeRange range = {});
  std::optional<std::uint64_t> number(std::string_view key, Need need, std::uint64_t minimum, std::uint64_t maximum);
  std::optional<std::uint64_t> hex_number(std::string_view key, Need need);  // "0x" and up to 16 digits
  std::optional<bool> boolean(std::string_view key, Need need);
  std::optional<std::string> string(std::string_view key, Need need);
  std::vector<std::string> strings(std::string_view key, Need need);
  // The value of an object or array member, null if absent or of the wrong kind.
  const nlohmann::json* object(std::string_view key, Need need);
  const nlohmann::json* array(std::string_view key, Need need);
  bool has(std::string_view key) const;

  std::string path_of(std::string_view key) const;
  JsonErrors& errors() { return errors_; }
  // Reports keys that no getter asked for.
  void finish();

 private:
  const nlohmann::json* find(std::string_view key, Need need, std::string_view expected);

  const nlohmann::json& value_;
  std::string path_;
  JsonErrors& errors_;
  std::set<std::string, std::less<>> known_;
};

}  // namespace image
#endif  // IMAGE_JSON_READER_H
