Result<std::size_t> sys_read(Task& task, Fd fd, UserPtr<std::byte> buf, std::size_t count) {
  KASSERT(count < kMax);
  const auto doubled = count * 2;
  KASSERT(doubled != 0);
  const abi::timespec ts = TRY(user.load());
  if (ts.sec < 0) panic("bad time", ts.sec, 3);
  return 0;
}
