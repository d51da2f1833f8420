// Pipes, eventfd and epoll with readers and writers on several threads: nothing lost, nothing twice, nobody left asleep.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstring>
#include <string>
#include <thread>

#include "abi/fs.h"
#include "kernel/vfs/epoll.h"
#include "kernel/vfs/eventfd.h"
#include "kernel/vfs/pipe.h"
#include "kernel/vfs/splice.h"
#include "tests/kernel_threads/host_thread.h"
#include "tests/kernel_vfs/model.h"

namespace {

using namespace kernel;
using kernel_threads_test::kThreads;
using kernel_threads_test::on_threads;

std::size_t put(Pipe& pipe, std::span<const char> bytes) {
  IoSource source(std::as_bytes(bytes));
  return pipe.write(source, false).release();
}
std::size_t take(Pipe& pipe, std::span<char> bytes) {
  IoSink sink(std::as_writable_bytes(bytes));
  return pipe.read(sink, false).release();
}

// Writes of up to PIPE_BUF bytes are atomic: the reader finds each record of each writer whole and in order, then the end of the file.
TEST(Pipes, RecordsStayWhole) {
  struct Record {
    std::uint32_t writer, number, size;
  };
  constexpr std::uint32_t kRecords = 1500;
  const Ref<Pipe> pipe = make_ref<Pipe>().release();
  pipe->add_reader();
  for (int i = 1; i < kThreads; ++i) pipe->add_writer();
  std::string all;
  on_threads([&](int me, std::minstd_rand& random) {
    if (me != 0) {
      for (std::uint32_t i = 0; i < kRecords; ++i) {
        const Record record{.writer = static_cast<std::uint32_t>(me), .number = i, .size = static_cast<std::uint32_t>(sizeof(Record) + random() % 4000)};
        std::string bytes(record.size, static_cast<char>('0' + me));
        std::memcpy(bytes.data(), &record, sizeof(record));
        EXPECT_EQ(put(*pipe, bytes), bytes.size());
      }
      return pipe->drop_writer();
    }
    std::array<char, 20000> buffer;
    while (const std::size_t count = take(*pipe, std::span(buffer).first(1 + random() % buffer.size()))) all.append(buffer.data(), count);
  });
  std::array<std::uint32_t, kThreads> next{};
  for (std::size_t at = 0; at < all.size();) {
    Record record;
    ASSERT_LE(at + sizeof(record), all.size());
    std::memcpy(&record, all.data() + at, sizeof(record));
    ASSERT_LT(record.writer, next.size());
    ASSERT_EQ(record.number, next[record.writer]++);
    ASSERT_LE(at + record.size, all.size());
    const std::string filler = all.substr(at + sizeof(record), record.size - sizeof(record));
    ASSERT_EQ(filler, std::string(filler.size(), static_cast<char>('0' + record.writer)));
    at += record.size;
  }
  for (std::size_t writer = 1; writer < next.size(); ++writer) EXPECT_EQ(next[writer], kRecords);
  pipe->drop_reader();
}

// One byte to and fro: whoever is woken finds what it was woken for.
TEST(Pipes, PingPong) {
  const std::array<Ref<Pipe>, 4> pipes{make_ref<Pipe>().release(), make_ref<Pipe>().release(), make_ref<Pipe>().release(), make_ref<Pipe>().release()};
  for (const Ref<Pipe>& pipe : pipes) {
    pipe->add_reader();
    pipe->add_writer();
  }
  on_threads([&](int me, std::minstd_rand&) {
    Pipe& own = *pipes[static_cast<std::size_t>(me)];
    Pipe& next = *pipes[static_cast<std::size_t>(me + 1) % pipes.size()];
    for (int i = 0; i < 3000; ++i) {
      char token = static_cast<char>(i);
      if (me == 0) EXPECT_EQ(put(next, {&token, 1}), 1U);
      EXPECT_EQ(take(own, {&token, 1}), 1U);
      EXPECT_EQ(token, static_cast<char>(i));
      if (me != 0) EXPECT_EQ(put(next, {&token, 1}), 1U);
    }
  });
}

// Two readers of a pipe, a tee from it and one who drains what the tee made: an end is seen only when the writer is gone, and all that was written
// is read once.
TEST(Pipes, TeeSeesNoEndTooEarly) {
  constexpr std::uint64_t kBytes = 3000;
  PipePair in = make_pipe(0).release(), out = make_pipe(0).release();
  FileHandle in_read(in.read_end), in_write(in.write_end), out_read(out.read_end), out_write(out.write_end);
  std::atomic<bool> over = false;
  std::atomic<std::uint64_t> received = 0;
  on_threads([&](int me, std::minstd_rand&) {
    char byte = 'x';
    if (me == 0) {
      for (std::uint64_t i = 0; i < kBytes; ++i) EXPECT_EQ(put(*pipe_of(*in_write.file()), {&byte, 1}), 1U);
      over = true;
      in_write = FileHandle();
    } else if (me == 1) {
      for (;;) {
        const std::uint64_t count = tee_bytes(*in_read.file(), *out_write.file(), 100, false).release();
        if (count == 0) break;
        std::array<char, 100> seen;
        EXPECT_EQ(take(*pipe_of(*out_read.file()), std::span(seen).first(count)), count);
      }
      EXPECT_TRUE(over);
    } else {
      while (take(*pipe_of(*in_read.file()), {&byte, 1}) == 1) ++received;
      EXPECT_TRUE(over);
    }
  });
  EXPECT_EQ(received, kBytes);
}

// Bytes go round through pipes by splice, on all threads at once: none is lost, and none comes twice.
TEST(Pipes, SplicedRound) {
  constexpr std::uint64_t kRounds = 1500;
  std::array<FileHandle, kThreads> ends_read, ends_write;
  for (std::size_t i = 0; i < ends_read.size(); ++i) {
    PipePair pair = make_pipe(0).release();
    ends_read[i] = FileHandle(pair.read_end);
    ends_write[i] = FileHandle(pair.write_end);
    std::string some(1000 * i, static_cast<char>('a' + i));
    if (i != 0) EXPECT_EQ(put(*pipe_of(*pair.write_end), some), some.size());
  }
  on_threads([&](int me, std::minstd_rand& random) {
    const auto from = static_cast<std::size_t>(me), to = (from + 1) % kThreads;
    for (std::uint64_t i = 0; i < kRounds; ++i) {
      SpliceSide in{.file = ends_read[from].file().as_ref(), .offset = {}}, out{.file = ends_write[to].file().as_ref(), .offset = {}};
      static_cast<void>(splice_bytes(in, out, 1 + random() % 3000, true).ok());
    }
  });
  std::array<std::size_t, kThreads> found{};
  for (const FileHandle& end : ends_read) {
    const Ref<Pipe> pipe = pipe_of(*end.file());
    std::string all(pipe->available(), ' ');
    if (!all.empty()) EXPECT_EQ(take(*pipe, all), all.size());
    for (const char c : all) ++found[static_cast<std::size_t>(c - 'a')];
  }
  for (std::size_t i = 0; i < found.size(); ++i) EXPECT_EQ(found[i], 1000 * i);
}

// Two who pass a pipe's bytes on to files: they see an end only when the writer is gone.
TEST(Pipes, SpliceToFilesSeesNoEndTooEarly) {
  constexpr std::uint64_t kWords = 6000, kWord = 1;
  PipePair pair = make_pipe(0).release();
  FileHandle read_end(pair.read_end), write_end(pair.write_end);
  const Ref<EventFd> sum = make_ref<EventFd>(0U, false, 2U).release();
  const FileHandle handle{Ref<OpenFile>(sum)};
  std::atomic<bool> over = false;
  on_threads([&](int me, std::minstd_rand&) {
    if (me == 0) {
      for (std::uint64_t i = 0; i < kWords; ++i) {
        std::array<char, sizeof(kWord)> bytes;
        std::memcpy(bytes.data(), &kWord, sizeof(kWord));
        EXPECT_EQ(put(*pipe_of(*write_end.file()), bytes), bytes.size());
        while (pipe_of(*write_end.file())->available() != 0) std::this_thread::yield();  // the next one just after one of them found nothing
      }
      over = true;
      write_end = FileHandle();
      return;
    }
    SpliceSide in{.file = read_end.file().as_ref(), .offset = {}}, out{.file = sum, .offset = {}};
    for (bool ended = false; !ended;) {
      const std::uint64_t count = splice_bytes(in, out, sizeof(kWord), false).release();
      ended = over;  // if not, the writer still counts on somebody who reads
      EXPECT_EQ(count, count == 0 && ended ? 0 : sizeof(kWord));
      ended = ended && count == 0;
    }
  });
  std::uint64_t received = 0;
  IoSink sink(std::as_writable_bytes(std::span(&received, 1)));
  EXPECT_EQ(sum->read(sink).release(), sizeof(received));
  EXPECT_EQ(received, kWords);
}

// Without memory for the pipe, what should have gone into it stays where it was.
TEST(Pipes, SpliceWithoutMemoryTakesNothing) {
  constexpr std::uint32_t kNonBlocking = 04000;
  PipePair in = make_pipe(0).release(), out = make_pipe(0).release();
  FileHandle in_read(in.read_end), in_write(in.write_end), out_read(out.read_end), out_write(out.write_end);
  const Ref<EventFd> event = make_ref<EventFd>(7U, false, 2U | kNonBlocking).release();
  const FileHandle handle{Ref<OpenFile>(event)};
  EXPECT_EQ(put(*pipe_of(*in_write.file()), {"hello", 5}), 5U);
  SpliceSide from_event{.file = event, .offset = {}}, from_pipe{.file = in_read.file().as_ref(), .offset = {}};
  SpliceSide to{.file = out_write.file().as_ref(), .offset = {}};
  model::set_out_of_pages(true);
  EXPECT_EQ(model::error_of(splice_bytes(from_event, to, 8, true)), Errno::nomem);
  EXPECT_EQ(model::error_of(splice_bytes(from_pipe, to, 8, true)), Errno::nomem);
  model::set_out_of_pages(false);
  EXPECT_EQ(pipe_of(*in_read.file())->available(), 5U);
  ASSERT_EQ(model::error_of(splice_bytes(from_event, to, 8, true)), Errno{});
  std::uint64_t value = 0;
  IoSink sink(std::as_writable_bytes(std::span(&value, 1)));
  EXPECT_EQ(pipe_of(*out_read.file())->read(sink, true).release(), sizeof(value));
  EXPECT_EQ(value, 7U);
}

class Events final : public EpollSink {
 public:
  Result<> take(std::span<const abi::EpollEvent> events) override {
    for (const abi::EpollEvent& event : events) which.push_back(event.data_low);
    return {};
  }
  std::vector<std::uint64_t> which;
};

class Polled : public testing::TestWithParam<std::uint32_t> {};

// Two threads add to counters, two wait for them by one epoll instance and empty what they are told of: all that was added arrives.
TEST_P(Polled, NoEventIsLost) {
  constexpr std::uint64_t kCounters = 3, kAdded = 4000;
  constexpr std::uint32_t kNonBlocking = 04000, kReadable = 1;
  Result<Ref<OpenFile>> made = make_epoll();
  const FileHandle handle(std::move(made).release());
  Epoll& epoll = *handle.file()->as_epoll();
  std::vector<Ref<EventFd>> counters;
  std::vector<FileHandle> handles;
  for (std::uint64_t i = 0; i <= kCounters; ++i) {  // the last one: it is over
    counters.push_back(make_ref<EventFd>(0U, false, 2 | kNonBlocking).release());
    handles.emplace_back(Ref<OpenFile>(counters.back()));
    const std::uint32_t how = i == kCounters ? 0 : GetParam();
    ASSERT_TRUE(epoll.add(static_cast<std::int32_t>(i), *counters.back(), {.events = kReadable | how, .data_low = static_cast<std::uint32_t>(i), .data_high = 0}).ok());
  }
  std::atomic<std::uint64_t> received{0};
  on_threads([&](int me, std::minstd_rand& random) {
    if (me < 2) {
      for (std::uint64_t i = 0; i < kAdded; ++i) {
        const std::uint64_t one = 1;
        IoSource source(std::as_bytes(std::span(&one, 1)));
        EXPECT_TRUE(counters[random() % kCounters]->write(source).ok());
      }
      return;
    }
    for (bool over = false; !over;) {
      Events events;
      EXPECT_TRUE(epoll.wait(events, 8, kNever).ok());
      for (const std::uint64_t which : events.which) {
        over = over || which == kCounters;
        std::uint64_t value = 0;
        IoSink sink(std::as_writable_bytes(std::span(&value, 1)));
        if (which < kCounters && counters[which]->read(sink).ok() && (received += value) == 2 * kAdded) counters[kCounters]->add(1);
      }
    }
  });
  EXPECT_EQ(received, 2 * kAdded);
  for (std::uint64_t i = 0; i <= kCounters; ++i) EXPECT_TRUE(epoll.remove(static_cast<std::int32_t>(i), *counters[i]).ok());
}
INSTANTIATE_TEST_SUITE_P(LevelAndEdge, Polled, testing::Values(0U, 1U << 31));

}  // namespace
