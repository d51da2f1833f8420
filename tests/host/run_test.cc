// run_program from an enclave file to the exit code, with a kernel of a few functions.
#include "host/run.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include "host_abi/enclave_config.h"
#include "sgx/enclave_file.h"
#include "tests/host/payload.h"

namespace {

namespace fs = std::filesystem;

class RunTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    payload::use_test_device();
    folder() = fs::temp_directory_path() / fmt::format("occlum-run-test-{}", getpid());
    fs::create_directories(folder() / "build");
    write_enclave("build/enclave.bin", true, {});
    std::ofstream(folder() / "build/image.bin") << std::string(8192, 'I');
  }
  void SetUp() override {
#if __has_feature(address_sanitizer)
    GTEST_SKIP() << "the sanitizer's shadow lies in the enclave's range";
#endif
  }
  static void TearDownTestSuite() { fs::remove_all(folder()); }
  static fs::path& folder() {
    static fs::path path;
    return path;
  }
  static void write_enclave(const std::string& name, bool edmm, const sgx::SigningParams& params) {
    host_abi::ConfigHeader config{};
    config.magic = host_abi::kConfigMagic;
    config.version = 1;
    config.total_size = sizeof(config);
    config.elrange_size = std::uint64_t{1} << 36;
    config.flags = edmm ? host_abi::kConfigEdmm : 0;
    config.ssa_frame_pages = 1;
    config.tcs_count = 2;
    config.max_threads = 2;
    config.kernel_heap_size = 1 << 20;
    config.kernel_heap_max = 16 << 20;
    config.user_space_size = 1 << 20;
    config.user_space_max_size = 64 << 20;
    sgx::set_config_attributes(config, params);
    sgx::EnclaveFileInputs inputs;
    inputs.kernel_path = HOST_TEST_KERNEL;
    inputs.config.resize(sizeof(config));
    std::memcpy(inputs.config.data(), &config, sizeof(config));
    inputs.signing = params;
    inputs.boot_heap_size = 256 * 1024;
    const auto written = sgx::write_enclave_file(inputs, payload::signing_key(), folder() / name);
    ASSERT_TRUE(written) << written.error().message;
  }

  // Runs the mini kernel with these arguments; its standard output and our standard error go to files.
  host::Result<int> run(std::vector<std::string> argv, const std::function<void(host::RunOptions&)>& adjust = {}) {
    host::RunOptions options;
    options.instance = folder();
    options.mode = host::SgxMode::simulation;
    options.argv = {"/bin/mini"};
    options.argv.insert(options.argv.end(), argv.begin(), argv.end());
    const int out = open((folder() / "out").c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    options.stdio[1] = out;
    if (adjust) adjust(options);
    const int err = open((folder() / "err").c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    const int saved = dup(STDERR_FILENO);
    dup2(err, STDERR_FILENO);
    auto result = host::run_program(options);
    dup2(saved, STDERR_FILENO);
    for (const int fd : {saved, err, out}) close(fd);
    return result;
  }
  static std::string text(const std::string& name) {
    std::ifstream file(folder() / name);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  static std::string error_of(const host::Result<int>& result) { return result ? "(no error)" : result.error().message; }
};

TEST_F(RunTest, TheExitCodeComesBackInBothModes) {
  EXPECT_EQ(run({"exit", "42"}).value(), 42);
  EXPECT_EQ(text("err"), "occlum: running on the emulator (fast): no protection against the host\n");
  const auto strict = run({"exit", "7"}, [](auto& options) { options.emulator = host::EmulatorMode::strict; });
  EXPECT_EQ(strict.value(), 7);
  EXPECT_EQ(text("err"), "occlum: running on the emulator (strict): no protection against the host\n");
}

TEST_F(RunTest, QuietSaysNothing) {
  run({"exit", "0"}, [](auto& options) { options.quiet = true; }).value();
  EXPECT_EQ(text("err"), "");
}

TEST_F(RunTest, TheBootBlockIsFilled) {
  EXPECT_EQ(run({"image"}).value(), 'I');
  EXPECT_EQ(run({"environment"}, [](auto& options) { options.environment = {"A=1", "B=2", "C="}; }).value(), 3);
  EXPECT_EQ(run({"hostname"}).value(), 1);
  EXPECT_EQ(run({"clock"}).value(), 1);
  EXPECT_EQ(run({"vcpus"}, [](auto& options) { options.vcpus = 1; }).value(), 1);
  EXPECT_LE(run({"vcpus"}).value(), 2);
}

TEST_F(RunTest, OutputGoesToTheHandle) {
  EXPECT_EQ(run({"echo", "some text"}).value(), 0);
  EXPECT_EQ(text("out"), "some text");
}

TEST_F(RunTest, LogLinesGoToStandardErrorAndStatisticsToTheReport) {
  EXPECT_EQ(run({"log"}, [](auto& options) { options.stats = true; }).value(), 0);
  const std::string err = text("err");
  EXPECT_NE(err.find("occlum: hello from the kernel\n"), std::string::npos) << err;
  EXPECT_NE(err.find("kernel\ntasks 3\n"), std::string::npos) << err;
  EXPECT_NE(err.find("projected cost"), std::string::npos);
  EXPECT_NE(err.find("  log                          2\n"), std::string::npos) << err;
}

TEST_F(RunTest, APanicIsAnError) { EXPECT_EQ(error_of(run({"panic"})), "the kernel in the enclave panicked (0x77)"); }

TEST_F(RunTest, AKernelThatFaultsForEverIsEnded) {
  EXPECT_EQ(error_of(run({"fault"})), "the kernel refuses to be entered");
}

TEST_F(RunTest, SignalsAreForwarded) {
  for (const int signal : {SIGINT, SIGTERM, SIGWINCH, SIGUSR1}) {
    const pid_t self = getpid();
    sigset_t mask;
    sigset_t before;
    sigemptyset(&mask);
    sigaddset(&mask, signal);
    pthread_sigmask(SIG_BLOCK, &mask, &before);  // the sender inherits it: it must not be the one who gets the signal
    std::thread sender([&] {
      while (text("out") != "ready") std::this_thread::sleep_for(std::chrono::milliseconds(1));
      kill(self, signal);
    });
    const auto result = run({"signal"});
    sender.join();
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    ASSERT_TRUE(result) << error_of(result);
    EXPECT_EQ(*result, signal);
    std::ofstream(folder() / "out", std::ios::trunc);
  }
}

TEST_F(RunTest, HardwareModeFailsWithOneLineWhereThereIsNone) {
  if (access("/dev/sgx_enclave", F_OK) == 0) GTEST_SKIP() << "this machine has SGX";
  const auto result = run({"exit", "0"}, [](auto& options) { options.mode = host::SgxMode::hardware; });
  EXPECT_NE(error_of(result).find("/dev/sgx_enclave"), std::string::npos) << error_of(result);
  EXPECT_EQ(error_of(result).find('\n'), std::string::npos);
  EXPECT_EQ(run({"exit", "3"}, [](auto& options) { options.mode = host::SgxMode::automatic; }).value(), 3);
}

TEST_F(RunTest, MissingFilesAreNamed) {
  const auto nowhere = run({"exit", "0"}, [](auto& options) { options.instance = "/nonexistent"; });
  EXPECT_EQ(error_of(nowhere), "/nonexistent/build/enclave.bin: No such file or directory (run `occlum build` first)");
  const auto image = run({"exit", "0"}, [](auto& options) { options.image = "/nonexistent.bin"; });
  EXPECT_EQ(error_of(image), "/nonexistent.bin: No such file or directory");
  const auto folder_as_image = run({"exit", "0"}, [](auto& options) { options.image = "/tmp"; });
  EXPECT_EQ(error_of(folder_as_image), "/tmp: not an image file");
  EXPECT_EQ(error_of(run({}, [](auto& options) { options.argv.clear(); })), "no program was named");
  const auto nul = run({std::string("a\0b", 3)});
  EXPECT_NE(error_of(nul).find("NUL"), std::string::npos);
}

TEST_F(RunTest, ADamagedEnclaveIsRefusedByName) {
  std::string bytes = text("build/enclave.bin");
  bytes[bytes.size() - 100] = static_cast<char>(bytes[bytes.size() - 100] ^ 1);
  std::ofstream(folder() / "damaged.bin", std::ios::binary) << bytes;
  const auto result = run({"exit", "0"}, [&](auto& options) { options.enclave = folder() / "damaged.bin"; });
  ASSERT_FALSE(result);
  EXPECT_NE(error_of(result).find("damaged.bin"), std::string::npos) << error_of(result);
}

TEST_F(RunTest, AnEnclaveWithoutEdmmRuns) {
  write_enclave("sgx1.bin", false, {});
  const auto result = run({"exit", "11"}, [&](auto& options) { options.enclave = folder() / "sgx1.bin"; });
  ASSERT_TRUE(result) << error_of(result);
  EXPECT_EQ(*result, 11);
}

TEST_F(RunTest, LaunchValuesNeedKss) {
  const auto set = [](host::RunOptions& options) {
    options.config_id[0] = 1;
    options.config_svn = 2;
  };
  EXPECT_FALSE(run({"exit", "0"}, set));
  write_enclave("kss.bin", true, {.kss = true});
  const auto result = run({"exit", "12"}, [&](auto& options) {
    set(options);
    options.enclave = folder() / "kss.bin";
  });
  ASSERT_TRUE(result) << error_of(result);
  EXPECT_EQ(*result, 12);
}

TEST(Modes, AreParsed) {
  EXPECT_EQ(host::parse_sgx_mode("").value(), host::SgxMode::automatic);
  EXPECT_EQ(host::parse_sgx_mode("HW").value(), host::SgxMode::hardware);
  EXPECT_EQ(host::parse_sgx_mode("SIM").value(), host::SgxMode::simulation);
  EXPECT_FALSE(host::parse_sgx_mode("hw"));
  EXPECT_EQ(host::parse_emulator_mode("").value(), host::EmulatorMode::fast);
  EXPECT_EQ(host::parse_emulator_mode("strict").value(), host::EmulatorMode::strict);
  EXPECT_FALSE(host::parse_emulator_mode("slow"));
}

}  // namespace
