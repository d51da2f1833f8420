#include "image/elf_deps.h"

#include <algorithm>

#include "image/tree.h"
#include "tests/image/fixture.h"

namespace {

using image_test::FolderTest;

class Deps : public FolderTest {
 protected:
  // Compiles a C source with gcc-style options.
  void compile(const std::string& source, const std::vector<std::string>& options) const {
    put("source.c", source);
    std::vector<std::string> command = {"cc", (folder() / "source.c").string()};
    for (std::string option : options) {
      for (std::size_t at = option.find('@'); at != std::string::npos; at = option.find('@')) option.replace(at, 1, folder().string());
      command.push_back(option);
    }
    const auto child = image::run_program(command, {"TMPDIR=/tmp"});
    ASSERT_TRUE(child.has_value()) << child.error();
    ASSERT_EQ(child->status, 0) << child->output;
  }

  static std::vector<std::string> targets(const std::vector<image::Dependency>& needs) {
    std::vector<std::string> names;
    for (const image::Dependency& need : needs) names.push_back(need.target.string());
    std::ranges::sort(names);
    return names;
  }
};

TEST_F(Deps, ASystemProgramNeedsLoaderAndLibraries) {
  image::DependencyResolver resolver;
  const auto needs = resolver.resolve("/bin/ls", "/bin/ls");
  ASSERT_TRUE(needs.has_value()) << needs.error();
  const std::vector<std::string> names = targets(*needs);
  EXPECT_TRUE(std::ranges::find(names, "/lib64/ld-linux-x86-64.so.2") != names.end());
  EXPECT_TRUE(std::ranges::any_of(names, [](const std::string& name) { return name.ends_with("/libc.so.6"); }));
  EXPECT_TRUE(std::ranges::all_of(*needs, [](const image::Dependency& need) { return std::filesystem::exists(need.host); }));
}

TEST_F(Deps, RunpathAndOriginAreFollowed) {
  std::filesystem::create_directories(folder() / "app/lib/deep");
  std::filesystem::create_directories(folder() / "app/bin");
  compile("int two(void) { return 2; }", {"-shared", "-fPIC", "-o", "@/app/lib/deep/libtwo.so", "-Wl,-soname,libtwo.so"});
  compile("int two(void); int one(void) { return two(); }",
          {"-shared", "-fPIC", "-o", "@/app/lib/libone.so", "-Wl,-soname,libone.so", "-L@/app/lib/deep", "-ltwo", "-Wl,--enable-new-dtags,-rpath,$ORIGIN/deep"});
  compile("int one(void); int main(void) { return one(); }",
          {"-o", "@/app/bin/main", "-L@/app/lib", "-lone", "-Wl,--enable-new-dtags,-rpath,$ORIGIN/../lib", "-Wl,-rpath-link,@/app/lib/deep"});
  image::DependencyResolver resolver;
  const auto needs = resolver.resolve(folder() / "app/bin/main", "/opt/app/bin/main");
  ASSERT_TRUE(needs.has_value()) << needs.error();
  const std::vector<std::string> names = targets(*needs);
  EXPECT_TRUE(std::ranges::find(names, "/opt/app/lib/libone.so") != names.end());
  EXPECT_TRUE(std::ranges::find(names, "/opt/app/lib/deep/libtwo.so") != names.end());
}

TEST_F(Deps, AMissingLibraryIsNamed) {
  compile("int gone(void) { return 0; }", {"-shared", "-fPIC", "-o", "@/libgone-occlum.so", "-Wl,-soname,libgone-occlum.so"});
  compile("int gone(void); int main(void) { return gone(); }", {"-o", "@/main", "-L@", "-lgone-occlum"});
  image::DependencyResolver resolver;
  const auto needs = resolver.resolve(folder() / "main", "/bin/main");
  ASSERT_FALSE(needs.has_value());
  EXPECT_NE(needs.error().find("libgone-occlum.so"), std::string::npos) << needs.error();
  image::DependencyResolver with_folder({folder()});
  EXPECT_TRUE(with_folder.resolve(folder() / "main", "/bin/main").has_value());
}

TEST_F(Deps, ScriptsAndStaticProgramsNeedNothing) {
  put("script", "#!/bin/sh\n", 0755);
  image::DependencyResolver resolver;
  EXPECT_TRUE(resolver.resolve(folder() / "script", "/bin/script")->empty());
  EXPECT_TRUE(resolver.resolve(IMAGE_TEST_DIR "/static", "/bin/static")->empty());
}

TEST_F(Deps, LinksInTheImageDoNotLeadOutside) {
  std::filesystem::create_directories(folder() / "root/usr/lib");
  std::filesystem::create_directory_symlink("/usr/lib", folder() / "root/lib");
  std::filesystem::create_directory_symlink("../../../..", folder() / "root/usr/up");
  image::ImageTree tree(folder() / "root", {});
  put("file", "content");
  ASSERT_TRUE(tree.copy_file(folder() / "file", "/lib/sub/file").has_value());
  EXPECT_EQ(get("root/usr/lib/sub/file"), "content");
  ASSERT_TRUE(tree.copy_file(folder() / "file", "/usr/up/up-file").has_value());
  EXPECT_EQ(get("root/up-file"), "content");
  std::filesystem::create_directory_symlink("loop", folder() / "root/loop");
  EXPECT_FALSE(tree.copy_file(folder() / "file", "/loop/x").has_value());
}

TEST_F(Deps, SkeletonRunsAPlainProgram) {
  image::ImageTree tree(folder() / "root", {});
  std::filesystem::create_directories(folder() / "root");
  const image::Status filled = image::fill_skeleton(tree);
  ASSERT_TRUE(filled.has_value()) << filled.error();
  for (const char* name : {"lib64/ld-linux-x86-64.so.2", "etc/passwd", "etc/hosts", "etc/nsswitch.conf"}) {
    EXPECT_TRUE(std::filesystem::is_regular_file(folder() / "root" / name)) << name;
  }
  EXPECT_TRUE(std::filesystem::is_directory(folder() / "root/bin"));
}

}  // namespace
