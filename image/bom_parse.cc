#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <set>

#include "image/bom.h"

namespace image {
namespace {

// Where a value stands, for messages: "file: path".
class Place {
 public:
  Place(const std::string& file, std::string path) : file_(file), path_(std::move(path)) {}
  Place key(std::string_view name) const { return {file_, path_.empty() ? std::string(name) : fmt::format("{}.{}", path_, name)}; }
  Place item(std::size_t index) const { return {file_, fmt::format("{}[{}]", path_, index)}; }
  std::unexpected<std::string> wrong(std::string_view expected, std::string_view found) const {
    return fail("{}: {}: expected {}, found {}", file_, path_.empty() ? "(top level)" : path_, expected, found);
  }
  const std::string& file() const { return file_; }
  const std::string& path() const { return path_; }

 private:
  const std::string& file_;
  std::string path_;
};

std::string kind_of(const YAML::Node& node) {
  if (!node.IsDefined()) return "nothing (the key is missing)";
  switch (node.Type()) {
    case YAML::NodeType::Null: return "nothing";
    case YAML::NodeType::Scalar: return fmt::format("\"{}\"", node.Scalar());
    case YAML::NodeType::Sequence: return "a list";
    case YAML::NodeType::Map: return "a map";
    case YAML::NodeType::Undefined: break;
  }
  return "nothing";
}

bool is_name_character(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

// Replaces $NAME and ${NAME} by the environment's values.
Result<std::string> expand(const std::string& text, const Place& place) {
  std::string result;
  for (std::size_t at = 0; at < text.size();) {
    if (text[at] != '$') {
      result += text[at++];
      continue;
    }
    const bool braces = at + 1 < text.size() && text[at + 1] == '{';
    const std::size_t start = at + (braces ? 2 : 1);
    std::size_t end = start;
    while (end < text.size() && is_name_character(text[end])) ++end;
    if (end == start || (braces && (end >= text.size() || text[end] != '}'))) return place.wrong("$NAME or ${NAME}", fmt::format("\"{}\"", text));
    const std::string name = text.substr(start, end - start);
    const char* value = std::getenv(name.c_str());
    if (value == nullptr) return fail("{}: {}: the environment variable {} is not set", place.file(), place.path(), name);
    result += value;
    at = end + (braces ? 1 : 0);
  }
  return result;
}

Result<std::string> parse_text(const YAML::Node& node, const Place& place) {
  const bool text = node.IsDefined() && node.IsScalar() && !node.Scalar().empty() && node.Scalar().find('\0') == std::string::npos;
  if (!text) return place.wrong("a text", kind_of(node));
  return expand(node.Scalar(), place);
}

Result<std::vector<std::string>> parse_texts(const YAML::Node& node, const Place& place) {
  std::vector<std::string> texts;
  if (!node || node.IsNull()) return texts;
  if (!node.IsSequence()) return place.wrong("a list of texts", kind_of(node));
  for (std::size_t i = 0; i < node.size(); ++i) texts.push_back(IMAGE_TRY(parse_text(node[i], place.item(i))));
  return texts;
}

Status check_keys(const YAML::Node& node, const Place& place, std::initializer_list<std::string_view> known) {
  if (!node.IsDefined() || !node.IsMap()) return place.wrong("a map", kind_of(node));
  std::set<std::string> seen;
  for (const auto& entry : node) {
    const std::string key = entry.first.IsScalar() ? entry.first.Scalar() : "";
    if (!seen.insert(key).second) return place.key(key).wrong("each key once", "the key twice");
    if (std::ranges::find(known, key) == known.end()) {
      return place.key(key).wrong(fmt::format("one of the keys {}", fmt::join(known, ", ")), "an unknown key");
    }
  }
  return {};
}

Result<std::string> parse_hash(const YAML::Node& node, const Place& place) {
  std::string text = IMAGE_TRY(parse_text(node, place));
  constexpr std::size_t kDigits = 64;
  const bool digits = std::ranges::all_of(text, [](char c) { return std::isxdigit(static_cast<unsigned char>(c)) != 0; });
  if (text.size() != kDigits || !digits) return place.wrong("a SHA-256 of 64 hexadecimal digits", kind_of(node));
  std::ranges::transform(text, text.begin(), [](char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); });
  return text;
}

Result<BomFile> parse_file(const YAML::Node& node, const Place& place) {
  BomFile file;
  if (node.IsScalar()) {
    file.name = IMAGE_TRY(parse_text(node, place));
    return file;
  }
  IMAGE_CHECK(check_keys(node, place, {"name", "hash", "autodep", "rename"}));
  file.name = IMAGE_TRY(parse_text(node["name"], place.key("name")));
  if (node["rename"]) file.rename = IMAGE_TRY(parse_text(node["rename"], place.key("rename")));
  if (file.rename.find('/') != std::string::npos) return place.key("rename").wrong("a name without \"/\"", file.rename);
  if (node["hash"]) file.hash = IMAGE_TRY(parse_hash(node["hash"], place.key("hash")));
  if (const YAML::Node autodep = node["autodep"]) {
    const std::string text = autodep.IsScalar() ? autodep.Scalar() : "";
    if (text != "true" && text != "false") return place.key("autodep").wrong("true or false", kind_of(autodep));
    file.autodep = text == "true";
  }
  return file;
}

// `from` and a name below it.
std::string join(const std::string& from, const std::string& name) {
  if (from.empty()) return name;
  const std::size_t start = name.find_first_not_of('/');
  return fmt::format("{}{}{}", from, from.ends_with('/') ? "" : "/", start == std::string::npos ? "" : name.substr(start));
}

Status parse_copy(const YAML::Node& node, const Place& place, BomTarget& target) {
  IMAGE_CHECK(check_keys(node, place, {"from", "dirs", "files"}));
  std::string from;
  if (node["from"]) from = IMAGE_TRY(parse_text(node["from"], place.key("from")));
  const std::vector<std::string> folders = IMAGE_TRY(parse_texts(node["dirs"], place.key("dirs")));
  for (const std::string& folder : folders) target.copy_folders.push_back(join(from, folder));
  const YAML::Node files = node["files"];
  if (!files || files.IsNull()) return {};
  if (!files.IsSequence()) return place.key("files").wrong("a list of files", kind_of(files));
  for (std::size_t i = 0; i < files.size(); ++i) {
    BomFile file = IMAGE_TRY(parse_file(files[i], place.key("files").item(i)));
    file.name = join(from, file.name);
    target.files.push_back(std::move(file));
  }
  return {};
}

Status parse_links(const YAML::Node& node, const Place& place, BomTarget& target) {
  if (!node || node.IsNull()) return {};
  if (!node.IsSequence()) return place.wrong("a list of links", kind_of(node));
  for (std::size_t i = 0; i < node.size(); ++i) {
    const Place item = place.item(i);
    IMAGE_CHECK(check_keys(node[i], item, {"src", "linkname"}));
    BomLink link;
    link.content = IMAGE_TRY(parse_text(node[i]["src"], item.key("src")));
    link.name = IMAGE_TRY(parse_text(node[i]["linkname"], item.key("linkname")));
    target.links.push_back(std::move(link));
  }
  return {};
}

Result<BomTarget> parse_target(const YAML::Node& node, const Place& place) {
  IMAGE_CHECK(check_keys(node, place, {"target", "mkdirs", "createlinks", "copy"}));
  BomTarget target;
  target.target = IMAGE_TRY(parse_text(node["target"], place.key("target")));
  if (!target.target.starts_with('/')) return place.key("target").wrong("an absolute path in the image", target.target);
  target.folders = IMAGE_TRY(parse_texts(node["mkdirs"], place.key("mkdirs")));
  IMAGE_CHECK(parse_links(node["createlinks"], place.key("createlinks"), target));
  const YAML::Node copies = node["copy"];
  if (!copies || copies.IsNull()) return target;
  if (!copies.IsSequence()) return place.key("copy").wrong("a list", kind_of(copies));
  for (std::size_t i = 0; i < copies.size(); ++i) IMAGE_CHECK(parse_copy(copies[i], place.key("copy").item(i), target));
  return target;
}

Result<Bom> parse_document(const YAML::Node& node, const Place& place) {
  Bom bom;
  if (node.IsNull()) return bom;
  IMAGE_CHECK(check_keys(node, place, {"includes", "excludes", "targets"}));
  bom.includes = IMAGE_TRY(parse_texts(node["includes"], place.key("includes")));
  bom.excludes = IMAGE_TRY(parse_texts(node["excludes"], place.key("excludes")));
  const YAML::Node targets = node["targets"];
  if (!targets || targets.IsNull()) return bom;
  if (!targets.IsSequence()) return place.key("targets").wrong("a list", kind_of(targets));
  for (std::size_t i = 0; i < targets.size(); ++i) bom.targets.push_back(IMAGE_TRY(parse_target(targets[i], place.key("targets").item(i))));
  return bom;
}

}  // namespace

Result<Bom> parse_bom(std::string_view text, const std::string& name) {
  try {
    return parse_document(YAML::Load(std::string(text)), Place(name, ""));
  } catch (const YAML::Exception& error) {
    return fail("{}: line {}: {}", name, error.mark.line + 1, error.msg);
  }
}

}  // namespace image
