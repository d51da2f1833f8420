#include "image/bom.h"

#include <unistd.h>

#include "tests/image/fixture.h"

namespace {

using image_test::FolderTest;

std::string error_of(const std::string& text) {
  const auto bom = image::parse_bom(text, "bom.yaml");
  return bom ? "" : bom.error();
}

TEST(BomParse, WholeSchema) {
  ::setenv("BOM_TEST_DIR", "/opt/x", 1);
  const auto bom = image::parse_bom(R"(
includes: [base.yaml, other.yaml]
excludes: [.git]
targets:
  - target: /bin
    mkdirs: [a, b/c]
    createlinks:
      - {src: busybox, linkname: sh}
    copy:
      - from: $BOM_TEST_DIR
        dirs: [tree, tree/]
        files:
          - plain
          - {name: "${BOM_TEST_DIR}file", hash: AA34567890123456789012345678901234567890123456789012345678901234, autodep: false, rename: other}
)", "bom.yaml");
  ASSERT_TRUE(bom.has_value()) << bom.error();
  EXPECT_EQ(bom->includes.size(), 2U);
  ASSERT_EQ(bom->targets.size(), 1U);
  const image::BomTarget& target = bom->targets[0];
  EXPECT_EQ(target.copy_folders, (std::vector<std::string>{"/opt/x/tree", "/opt/x/tree/"}));
  ASSERT_EQ(target.files.size(), 2U);
  EXPECT_EQ(target.files[0].name, "/opt/x/plain");
  EXPECT_TRUE(target.files[0].autodep);
  EXPECT_EQ(target.files[1].name, "/opt/x/opt/xfile");
  EXPECT_EQ(target.files[1].rename, "other");
  EXPECT_FALSE(target.files[1].autodep);
  EXPECT_EQ(target.files[1].hash->substr(0, 4), "aa34");
}

TEST(BomParse, MistakesNameTheKey) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"target: [x]", "target: expected one of the keys"},
      {"targets: 7", "targets: expected a list"},
      {"targets: [{target: bin}]", "targets[0].target: expected an absolute path"},
      {"targets: [{copy: []}]", "targets[0].target: expected a text"},
      {"targets: [{target: /x, link: 1}]", "targets[0].link: expected one of the keys target, mkdirs, createlinks, copy"},
      {"targets: [{target: /x, createlinks: [{src: a}]}]", "targets[0].createlinks[0].linkname"},
      {"targets: [{target: /x, copy: [{files: [{name: a, autodep: maybe}]}]}]", "targets[0].copy[0].files[0].autodep: expected true or false"},
      {"targets: [{target: /x, copy: [{files: [{name: a, hash: 12}]}]}]", "targets[0].copy[0].files[0].hash: expected a SHA-256"},
      {"targets: [{target: /x, copy: [{files: [{name: a, rename: b/c}]}]}]", "rename: expected a name without"},
      {"targets: [{target: /x, copy: [{files: [$NOT_SET_ANYWHERE]}]}]", "the environment variable NOT_SET_ANYWHERE is not set"},
      {"targets: [{target: /x, copy: [{files: [\"${BROKEN\"]}]}]", "expected $NAME or ${NAME}"},
      {"includes: {}", "includes: expected a list of texts, found a map"},
      {"a: [", "bom.yaml: line"},
  };
  for (const auto& [text, part] : cases) EXPECT_NE(error_of(text).find(part), std::string::npos) << text << "\n" << error_of(text);
}

class BomCopy : public FolderTest {
 protected:
  image::Status copy(bool dry_run = false) {
    log_.clear();
    image::BomOptions options;
    options.file = folder() / "bom.yaml";
    options.root = folder() / "root";
    options.include_folders = {folder() / "inc"};
    options.dry_run = dry_run;
    options.log = [this](const std::string& line) { log_ += line + "\n"; };
    return image::copy_bom(options);
  }
  const std::string& log() const { return log_; }

 private:
  std::string log_;
};

TEST_F(BomCopy, FilesFoldersLinksIncludesAndExcludes) {
  put("src/tree/one", "1");
  put("src/tree/sub/two", "2");
  put("src/tree/.git/config", "no");
  put("src/tool", "#!/bin/sh\n", 0755);
  put("inc/more.yaml", "targets: [{target: /from-include, mkdirs: [x]}]");
  std::filesystem::create_symlink("one", folder() / "src/tree/inner");
  std::filesystem::create_symlink(folder() / "src/tool", folder() / "src/tree/outer");
  put("bom.yaml", R"(
includes: [more.yaml]
excludes: [.git]
targets:
  - target: /opt
    mkdirs: [made]
    createlinks: [{src: tool, linkname: alias}]
    copy:
      - dirs: [src/tree, src/tree/sub/]
        files: [{name: src/tool, rename: tool}]
)");
  ASSERT_TRUE(copy(true).has_value());
  EXPECT_NE(log().find("mkdir /opt"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(folder() / "root"));
  const image::Status copied = copy();
  ASSERT_TRUE(copied.has_value()) << copied.error();
  EXPECT_EQ(get("root/opt/tree/one"), "1");
  EXPECT_EQ(get("root/opt/tree/sub/two"), "2");
  EXPECT_EQ(get("root/opt/two"), "2");
  EXPECT_EQ(get("root/opt/tree/.git/config"), "(missing)");
  EXPECT_TRUE(std::filesystem::is_symlink(folder() / "root/opt/tree/inner"));
  EXPECT_FALSE(std::filesystem::is_symlink(folder() / "root/opt/tree/outer"));
  EXPECT_EQ(std::filesystem::read_symlink(folder() / "root/opt/alias"), "tool");
  EXPECT_TRUE(std::filesystem::is_directory(folder() / "root/opt/made"));
  EXPECT_TRUE(std::filesystem::is_directory(folder() / "root/from-include/x"));
  struct stat info = {};
  ASSERT_EQ(::stat((folder() / "root/opt/tool").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0755U);
  ASSERT_TRUE(copy().has_value());
  EXPECT_EQ(log(), "") << "a second run must change nothing";
}

TEST_F(BomCopy, LibrariesFollowAProgram) {
  put("bom.yaml", "targets: [{target: /bin, copy: [{files: [/bin/ls, {name: /bin/cat, autodep: false}]}]}]");
  const image::Status copied = copy();
  ASSERT_TRUE(copied.has_value()) << copied.error();
  EXPECT_TRUE(std::filesystem::exists(folder() / "root/bin/cat"));
  EXPECT_TRUE(std::filesystem::exists(folder() / "root/lib64/ld-linux-x86-64.so.2"));
  EXPECT_NE(log().find("libc.so.6"), std::string::npos);
}

TEST_F(BomCopy, HashesAreChecked) {
  put("data", "abc");
  put("bom.yaml", "targets: [{target: /, copy: [{files: [{name: data, hash: BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD}]}]}]");
  EXPECT_TRUE(copy().has_value());
  put("data", "abd");
  const image::Status wrong = copy();
  ASSERT_FALSE(wrong.has_value());
  EXPECT_NE(wrong.error().find("has the SHA-256"), std::string::npos);
  EXPECT_EQ(get("root/data"), "abc");
}

TEST_F(BomCopy, MissingThingsAreNamed) {
  put("bom.yaml", "targets: [{target: /, copy: [{files: [no-such-file]}]}]");
  EXPECT_NE(copy().error().find("no-such-file: no such file on this machine"), std::string::npos);
  put("bom.yaml", "targets: [{target: /, copy: [{dirs: [no-such-folder]}]}]");
  EXPECT_NE(copy().error().find("no such folder"), std::string::npos);
  put("bom.yaml", "includes: [nowhere.yaml]");
  EXPECT_NE(copy().error().find("nowhere.yaml is neither"), std::string::npos);
  put("bom.yaml", "includes: [bom.yaml]");
  EXPECT_TRUE(copy().has_value());
}

}  // namespace
