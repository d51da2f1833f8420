// A C++ program: exceptions through frames and threads, iostreams, containers, locale-free formatting, atomics, futures.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <future>
#include <iomanip>
#include <iostream>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <regex>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {
struct Tracker {
  explicit Tracker(std::string n) : name(std::move(n)) {}
  ~Tracker() { std::cout << "unwound " << name << '\n'; }
  std::string name;
};

int deep(int n) {
  const Tracker t("frame " + std::to_string(n));
  if (n == 0) throw std::runtime_error("from the bottom");
  return deep(n - 1) + 1;
}
}  // namespace

int main(int argc, char** argv) {
  try {
    deep(3);
  } catch (const std::exception& e) {
    std::cout << "caught: " << e.what() << '\n';
  }
  try {
    std::vector<int>{}.at(5) = 1;
  } catch (const std::out_of_range&) {
    std::cout << "out of range\n";
  }
  auto failing = std::async(std::launch::async, []() -> int { throw std::logic_error("in a thread"); });
  try {
    failing.get();
  } catch (const std::logic_error& e) {
    std::cout << "carried over: " << e.what() << '\n';
  }
  std::map<std::string, int> words;
  std::istringstream text("one two three two one two");
  for (std::string w; text >> w;) words[w]++;
  for (const auto& [w, n] : words) std::cout << std::setw(6) << w << '=' << n << '\n';
  std::cout << std::fixed << std::setprecision(4) << 3.14159265 << ' ' << std::hex << 255 << std::dec << '\n';
  std::atomic<long> sum = 0;
  std::vector<std::thread> pool;
  for (int i = 0; i < 16; i++) pool.emplace_back([&sum, i] { for (int k = 0; k < 1000; k++) sum += i; });
  for (auto& t : pool) t.join();
  std::cout << "sum " << sum << '\n';
  std::smatch m;
  const std::string line = "key = value";
  std::cout << std::regex_match(line, m, std::regex(R"((\w+)\s*=\s*(\w+))")) << ' ' << m[2] << '\n';
  const std::filesystem::path dir = argc > 1 ? argv[argc - 1] : ".";
  std::ofstream(dir / "stream.txt") << "line 1\nline 2\n";
  std::ifstream in(dir / "stream.txt");
  for (std::string l; std::getline(in, l);) std::cout << l << '\n';
  std::cout << std::filesystem::file_size(dir / "stream.txt") << '\n';
  const auto start = std::chrono::steady_clock::now();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  std::cout << (std::chrono::steady_clock::now() - start >= std::chrono::milliseconds(20)) << '\n';
  std::vector<int> v(100000);
  std::iota(v.rbegin(), v.rend(), 0);
  std::sort(v.begin(), v.end());
  std::cout << v.front() << ' ' << v.back() << std::endl;
  return 0;
}
