namespace kernel::host {
Result<> check(Untrusted<std::uint64_t> reply) {
  const Untrusted<int> other = ask();
  KASSERT(other == 3);
  return {};
}
}  // namespace kernel::host
